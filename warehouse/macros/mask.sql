-- mask.sql: masks personal data (needs normalise.sql); the result may be stored, the cell may not.
--
-- What is not of the expected shape becomes '****' whole. An empty cell stays NULL.

-- '13812345678' -> '138****5678'; '0563-3021234' -> '0563-****234'; '3021234' -> '****234'.
-- Groups: mobile head and tail, then landline area and tail. +86 before and spaces, hyphens and
-- brackets within are read over.
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

-- 'a.b@x.cn' -> 'a***@x.cn'; a one-letter mailbox is hidden whole.
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

-- '宣城市宣州区鳌峰西路1号' -> '宣城市宣州区****'; up to eight characters are hidden whole.
CREATE OR REPLACE TEMP MACRO mask_address(t) AS
    list_transform([normalise_text(t)], lambda address: CASE
        WHEN length(address) > 8 THEN left(address, 6) || '****'
        WHEN address IS NOT NULL THEN '****'
        END)[1];
