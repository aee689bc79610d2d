-- mask.sql: mask personal data (needs normalise.sql). The result may be stored, the cell may not.
--
-- A cell that has not the expected shape becomes '****'. An empty cell stays NULL.

-- '13812345678' -> '138****5678'; '0563-3021234' -> '0563-****234'; '3021234' -> '****234'.
-- Groups of the pattern: mobile head and tail, then landline area and tail. A +86 before the number
-- and spaces, hyphens and brackets inside it are ignored.
CREATE OR REPLACE TEMP MACRO mask_phone(t) AS
    CASE
        WHEN regexp_full_match(t, '1[3-9][0-9]{9}') THEN left(t, 3) || '****' || right(t, 4)
        WHEN normalise_text(t) IS NULL THEN NULL
        ELSE list_transform(
            [regexp_extract(
                _word(t),
                '^(?:(?:\+|00)?86-?)?(?:(1[3-9][0-9])-?[0-9]{4}-?([0-9]{4})'
                || '|(?:\(?(010|02[0-9]|0[3-9][0-9]{2})\)?-?)?[2-9][0-9]{3,4}([0-9]{3}))$',
                ['head', 'last_four', 'area', 'last_three']
            )],
            lambda part: CASE
                WHEN part.area <> '' THEN part.area || '-****' || part.last_three
                ELSE part.head || '****' || part.last_four || part.last_three
                END
        )[1]
    END;

-- '342501199001011234' -> '342501********1234'.
CREATE OR REPLACE TEMP MACRO mask_id_number(t) AS
    CASE WHEN normalise_text(t) IS NOT NULL THEN list_transform([_word(t)], lambda word: CASE
        WHEN regexp_full_match(word, '[0-9]{17}[0-9Xx]')
            THEN left(word, 6) || '********' || right(word, 4)
        ELSE '****'
        END)[1] END;

-- '张三' -> '张*', '欧阳小明' -> '欧***'; a single character is hidden too.
CREATE OR REPLACE TEMP MACRO mask_name(t) AS
    list_transform([normalise_text(t)], lambda name: CASE
        WHEN length(name) = 1 THEN '*'
        ELSE left(name, 1) || repeat('*', length(name) - 1)
        END)[1];

-- 'a.b@x.cn' -> 'a***@x.cn'; a mailbox of one letter is hidden.
CREATE OR REPLACE TEMP MACRO mask_email(t) AS
    CASE WHEN normalise_text(t) IS NOT NULL THEN list_transform(
        [regexp_extract(
            _word(t),
            '^([^@])([^@]*)@([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)+)$',
            ['head', 'rest', 'domain']
        )],
        lambda part: CASE
            WHEN part.domain = '' THEN '****'
            WHEN part.rest = '' THEN '***@' || part.domain
            ELSE part.head || '***@' || part.domain
            END
    )[1] END;

-- '宣城市宣州区鳌峰西路1号' -> '宣城市宣州区****'; an address of up to eight characters is hidden.
CREATE OR REPLACE TEMP MACRO mask_address(t) AS
    list_transform([normalise_text(t)], lambda address: CASE
        WHEN length(address) > 8 THEN left(address, 6) || '****'
        WHEN address IS NOT NULL THEN '****'
        END)[1];

-- BOOLEAN: whether bare digits have the shape of a personal number: mobile, identity (18 digits, 15
-- until 1999), landline with its area, bank card.
CREATE OR REPLACE TEMP MACRO _is_personal(digits) AS
    regexp_full_match(
        digits,
        '(?:(?:00)?86)?1[3-9][0-9]{9}'
        || '|[1-9][0-9]{5}(?:18|19|20)[0-9]{9}[0-9Xx]'
        || '|[1-9][0-9]{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}'
        || '|0(?:10|2[0-9]|[3-9][0-9]{2})[2-9][0-9]{6,7}'
        || '|62[0-9]{14,17}'
    );

-- The pattern of what may separate the digits of a personal number: blanks and dashes.
CREATE OR REPLACE TEMP MACRO _gap() AS
    '[ \t\r\n\x{2000}-\x{200A}\x{202F}‐‑‒–—―─﹘﹣-]{0,3}';

-- The pattern of an instant in bare digits: 20210930123456.
CREATE OR REPLACE TEMP MACRO _digital_instant() AS '(?:19|20)(?:[0-9]{10}|[0-9]{12})';

-- VARCHAR[]: split folded text into pieces, each a number as people write it or the text between two
-- numbers. A date, an amount or the digits after a point are one piece, inside which no personal
-- number begins.
CREATE OR REPLACE TEMP MACRO _pieces(folded) AS
    regexp_extract_all(
        folded,
        '(?:19|20)[0-9]{2}[-/.年][0-9]{1,2}[-/.月][0-9]{1,2}(?:日|\b)|' || _digital_instant() || '\b'
        || '|1\.[3-9][0-9]{5,}[Ee]\+?10\b|[1-9]\.[0-9]{8,}[Ee]\+?1[47]\b'
        || '|[1-9](?:' || _gap() || '[0-9]){5}' || _gap() || '(?:1' || _gap() || '[89]|2' || _gap()
        ||     '0)(?:' || _gap() || '[0-9]){9}' || _gap() || '[0-9Xx]\b'
        || '|1' || _gap() || '[3-9](?:' || _gap() || '[0-9]){9}\b'
        || '|1[3-9][0-9][ .,·/_()-]{1,3}[0-9]{4}[ .,·/_()-]{1,3}[0-9]{4}'
        || '|1[3-9],[0-9]{3},[0-9]{3},[0-9]{3}\b'
        || '|0(?:10|2[0-9]|[3-9][0-9]{2})\)?' || _gap() || '[2-9](?:' || _gap() || '[0-9]){6,7}\b'
        || '|62(?:' || _gap() || '[0-9]){14,17}\b'
        || '|[0-9]{11,}(?:\.[0-9]{1,6}\b|[Xx])?'
        || '|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\b|[0-9]+(?:\.[0-9]+)?|[^0-9]+'
    );

-- '13,812,345,678', '138 1234 5678', '1.3812345678E10': mask the numbers that look personal, however
-- they are grouped, in text that should hold nothing personal. `every`: also mask any eleven digits
-- in a row; false where codes are expected. Other text is left as it is.
CREATE OR REPLACE TEMP MACRO mask_strayed(t, every) AS
    CASE
        WHEN NOT regexp_matches(_fold(t), '(?:[0-9][^0-9]{0,4}){10}|[0-9][Ee]\+?1[047]') THEN t
        ELSE list_transform(
            [array_to_string(list_transform(_pieces(_fold(t)), lambda piece: CASE
                WHEN regexp_matches(piece, '[0-9][Ee]\+?1[047]$')
                    THEN left(piece, 3) || '****' || regexp_extract(piece, '[Ee].*')
                ELSE list_transform(
                    [regexp_replace(
                        CASE
                            WHEN regexp_full_match(piece, '1[3-9](?:,[0-9]{3}){3}') THEN piece
                            WHEN regexp_full_match(piece, '[0-9]+(?:,[0-9]{3})+(?:\.[0-9]+)?') THEN ''
                            WHEN regexp_full_match(piece, '[0-9]+\.[0-9]+') THEN split_part(piece, '.', 1)
                            ELSE piece
                            END,
                        '[^0-9Xx]+', '', 'g'
                    )],
                    lambda digits: CASE
                        WHEN _is_personal(digits)
                            OR (every AND regexp_full_match(piece, '[0-9]{11,}[Xx]?')
                                AND NOT regexp_full_match(piece, _digital_instant()))
                            THEN left(digits, CASE WHEN length(digits) < 15 THEN 3 ELSE 6 END)
                                || '****' || right(digits, CASE left(digits, 1) WHEN '0' THEN 3 ELSE 4 END)
                        ELSE piece
                        END
                )[1]
                END), '')],
            lambda masked: CASE WHEN masked = _fold(t) THEN t ELSE masked END
        )[1]
    END;
