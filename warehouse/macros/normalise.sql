-- normalise.sql: reads the cells of an export; one cell of text in, one typed value or NULL out.
--
-- Every public macro first recognises the plain form with one constant regex and casts it; only
-- what that refuses pays for the careful path (CASE is lazy per row). What cannot be read is NULL,
-- never a guess. tests/sql/normalise_oracle.py is the second definition these are held to.
--
-- Two idioms: list_transform([x], lambda v: ...)[1] computes x once and names it v;
--             list_filter([x], lambda v: condition)[1] is x where it holds, otherwise NULL.

-- Full-width ASCII, the minus sign and wide spaces become ASCII; invisible characters vanish.
-- translate() builds its table per row, so only cells that need it pay for it.
-- chr: 8722 minus, 12288 ideographic space, 160 no-break space; then those that vanish
-- (U+200B-200F zero width and marks, U+202A-202E direction, U+2060 joiner, U+FEFF BOM).
CREATE OR REPLACE TEMP MACRO _fold(t) AS
    CASE WHEN regexp_matches(t, '[\x{FF01}-\x{FF5E}\x{2212}\x{3000}\x{A0}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]')
    THEN translate(
        t,
        '！＂＃＄％＆＇（）＊＋，－．／０１２３４５６７８９：；＜＝＞？＠'
        || 'ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ［＼］＾＿｀'
        || 'ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ｛｜｝～'
        || chr(8722) || chr(12288) || chr(160)
        || chr(8203) || chr(8204) || chr(8205) || chr(8206) || chr(8207)
        || chr(8234) || chr(8235) || chr(8236) || chr(8237) || chr(8238) || chr(8288) || chr(65279),
        '!"#$%&''()*+,-./0123456789:;<=>?@'
        || 'ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`'
        || 'abcdefghijklmnopqrstuvwxyz{|}~'
        || '-  '
    )
    ELSE t END;

-- Without any white space, folded: how words are compared.
CREATE OR REPLACE TEMP MACRO _word(t) AS regexp_replace(_fold(t), '[[:space:]]+', '', 'g');

-- VARCHAR: the text without blanks at its ends; NULL when nothing is left.
CREATE OR REPLACE TEMP MACRO normalise_text(t) AS
    CASE WHEN regexp_matches(t, '^[[:space:]\x{3000}\x{A0}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]|[[:space:]\x{3000}\x{A0}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]$')
    THEN nullif(regexp_replace(t, '^[[:space:]\x{3000}\x{A0}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]+|[[:space:]\x{3000}\x{A0}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]+$', '', 'g'), '')
    ELSE nullif(t, '') END;

-- DuckDB casts text to a DECIMAL wider than 18 digits two hundred times slower than to a narrow
-- one, so the wide cast is only for what the narrow one refused.
CREATE OR REPLACE TEMP MACRO _decimal(digits) AS
    coalesce(TRY_CAST(digits AS DECIMAL(18, 6)), TRY_CAST(digits AS DECIMAL(28, 6)));

-- The power of ten meant by what stands between a number and its unit ('余万' -> 4, '' -> 0).
CREATE OR REPLACE TEMP MACRO _scale_power(words) AS
    CASE WHEN regexp_full_match(words, '(?:[余多]?[十百千万亿]+)?(?:余|多|左右|以上)?')
    THEN list_position(
        ['', '十', '百', '千', '万', '十万', '百万', '千万', '亿', '十亿', '百亿', '千亿', '万亿'],
        regexp_extract(words, '[十百千万亿]*[十百千万亿]')
    ) - 1 END;

-- The same after taking one unit away. Where two units would give two readings ('5万元' with both
-- 元 and 万元) there is none.
CREATE OR REPLACE TEMP MACRO _tail_power(tail, units) AS
    list_transform(
        [list_transform(
            list_filter(
                list_concat([''], list_transform(units::VARCHAR[], lambda unit: _word(unit))),
                lambda unit: ends_with(tail, unit)
            ),
            lambda unit: _scale_power(left(tail, length(tail) - length(unit)))
        )],
        lambda powers: CASE WHEN list_min(powers) = list_max(powers) THEN list_min(powers) END
    )[1];

-- The point moved to the right by `power` digits; exact, because it only moves text. More than
-- six decimals that are not zeros are refused rather than rounded.
CREATE OR REPLACE TEMP MACRO _shifted(sign, whole, fraction, power) AS
    CASE WHEN (whole <> '' OR fraction <> '') AND length(rtrim(fraction, '0')) <= power + 6
    THEN sign || '0' || translate(whole, ', ', '') || rpad(fraction, CAST(power AS INTEGER), '0')
        || '.' || substr(fraction, power + 1, 6)
    END;

-- qualifier, sign, whole part (grouped in threes by , or by a space, or not at all), fraction, tail
CREATE OR REPLACE TEMP MACRO _worded_number(t, units) AS
    list_transform(
        [regexp_extract(
            _fold(t),
            '(?s)^[[:space:]]*(?:约|大约|近|超过|超|突破|达到|达|共计|共|累计|不少于|至少)?[[:space:]]*'
            || '([+-]?)[[:space:]]*'
            || '([1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]{0,2}(?: [0-9]{3})+|[0-9]+|)'
            || '(?:\.([0-9]+))?'
            || '(.*)$',
            ['sign', 'whole', 'fraction', 'tail']
        )],
        lambda part: list_transform(
            list_transform(
                list_transform(
                    [regexp_replace(part.tail, '[[:space:]]+', '', 'g')],
                    lambda tail: _tail_power(tail, units)
                ),
                lambda power: _shifted(part.sign, part.whole, part.fraction, power)
            ),
            lambda digits: _decimal(digits)
        )[1]
    )[1];

-- DECIMAL(28,6): the number a cell states, in the unit it is counted in. `units` VARCHAR[]: the
-- words that may trail it.
CREATE OR REPLACE TEMP MACRO normalise_number(t, units) AS
    CASE WHEN regexp_full_match(t, '[+-]?[0-9]+(?:\.[0-9]{1,6})?') THEN _decimal(t)
    ELSE _worded_number(t, units) END;

-- BIGINT: the same forms; NULL unless whole.
CREATE OR REPLACE TEMP MACRO normalise_integer(t, units) AS
    CASE WHEN regexp_full_match(t, '[+-]?[0-9]{1,18}(?:\.0+)?') THEN TRY_CAST(t AS BIGINT)
    ELSE TRY_CAST(
        list_filter([normalise_number(t, units)], lambda number: number = trunc(number))[1] AS BIGINT
    ) END;

-- UTC TIMESTAMP of a written date with or without a time of day, meant in Shanghai unless an
-- offset follows; the Shanghai year must be 1900 to 2100. `s` is folded.
-- A negative offset needs seconds before it: '10:30-11:30' is a span of time, not an offset.
CREATE OR REPLACE TEMP MACRO _calendar_instant(s) AS
    list_filter(
        list_transform(
            [regexp_extract(
                replace(replace(s, '号', '日'), '日', '日 '),
                '^[[:space:]]*([0-9]{4})( ?[-/.年] ?|)([0-9]{1,2})( ?[-/.月] ?|)([0-9]{1,2})( ?日|)'
                || '(?:(?:T|[[:space:]]+)([01]?[0-9]|2[0-3])'
                ||     '(?::([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,6})0*)?)?'
                ||     '|时([0-5]?[0-9])分(?:([0-5]?[0-9])秒)?)'
                ||     ' ?(Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9]|)'
                || ')?[[:space:]]*$',
                ['year', 'mark1', 'month', 'mark2', 'day', 'mark3',
                 'hour', 'minute', 'second', 'fraction', 'minute_zh', 'second_zh', 'zone']
            )],
            lambda part: CASE
                WHEN replace(part.mark1 || part.mark2 || part.mark3, ' ', '')
                    NOT IN ('--', '//', '..', '年月日')
                    AND (part.mark1 || part.mark2 || part.mark3 <> '' OR length(part.month || part.day) <> 4)
                    THEN NULL
                WHEN part.zone LIKE '-%' AND part.second = '' THEN NULL
                ELSE TRY_CAST(
                    part.year || '-' || part.month || '-' || part.day || ' '
                    || lpad(part.hour, 2, '0')
                    || ':' || lpad(part.minute || part.minute_zh, 2, '0')
                    || ':' || lpad(part.second || part.second_zh, 2, '0')
                    || '.' || rpad(part.fraction, 6, '0') AS TIMESTAMP
                ) - to_minutes(CASE part.zone
                    WHEN '' THEN 480
                    WHEN 'Z' THEN 0
                    ELSE CAST(left(part.zone, 3) AS INTEGER) * 60
                        + CAST(left(part.zone, 1) || right(part.zone, 2) AS INTEGER)
                    END)
                END
        ),
        lambda instant: instant >= TIMESTAMP '1899-12-31 16:00:00'
            AND instant < TIMESTAMP '2100-12-31 16:00:00'
    )[1];

-- DATE of an Excel serial day (1900 system), 2000 to 2099 only: other integers are not dates.
CREATE OR REPLACE TEMP MACRO _excel_day(digits) AS
    CASE WHEN digits BETWEEN '36526' AND '73050' AND length(digits) = 5
    THEN DATE '1899-12-30' + TRY_CAST(digits AS INTEGER) END;

-- UTC TIMESTAMP of an Excel serial with a fraction of a day, to the millisecond (Excel's own
-- resolution: 0.3958333333 is 09:30:00.000). `s` is folded.
CREATE OR REPLACE TEMP MACRO _excel_instant(s) AS
    list_transform(
        [regexp_extract(
            s, '^[[:space:]]*([0-9]{5})(?:\.([0-9]{1,15})0*)?[[:space:]]*$', ['day', 'fraction']
        )],
        lambda part: _excel_day(part.day) - INTERVAL 8 HOUR + to_milliseconds(
            CAST((CAST(rpad(part.fraction, 15, '0') AS HUGEINT) * 86400000 + 500000000000000)
                // 1000000000000000 AS BIGINT)
        )
    )[1];

-- DATE: the Shanghai calendar day a cell states; a time of day is dropped.
CREATE OR REPLACE TEMP MACRO normalise_date(t) AS
    CASE
        WHEN regexp_full_match(t, '(?:19[0-9]{2}|20[0-9]{2}|2100)(?:-[0-9]{1,2}-|/[0-9]{1,2}/)[0-9]{1,2}')
            THEN TRY_CAST(t AS DATE)
        WHEN regexp_full_match(t, '[0-9]{5}') THEN _excel_day(t)
        ELSE list_transform([_fold(t)], lambda s: coalesce(
            CAST(_calendar_instant(s) + INTERVAL 8 HOUR AS DATE),
            _excel_day(regexp_extract(s, '^[[:space:]]*([0-9]{5})(?:\.0+)?[[:space:]]*$', 1))
        ))[1]
    END;

-- TIMESTAMP in UTC: the instant a cell states, in Shanghai time unless it carries an offset.
CREATE OR REPLACE TEMP MACRO normalise_timestamp(t) AS
    CASE
        WHEN regexp_full_match(
            t,
            '(?:19[0-9]{2}|20[0-9]{2}|2100)-[0-9]{2}-[0-9]{2}'
            || '[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?'
        ) THEN TRY_CAST(t AS TIMESTAMP) - INTERVAL 8 HOUR
        ELSE list_transform(
            [_fold(t)], lambda s: coalesce(_calendar_instant(s), _excel_instant(s))
        )[1]
    END;

-- BOOLEAN: the spellings of yes and no, in either width and case.
CREATE OR REPLACE TEMP MACRO normalise_boolean(t) AS
    list_transform(list_transform([_fold(t)], lambda s: lower(normalise_text(s))), lambda word: CASE
        WHEN word IN ('是', '有', '√', '✓', 'true', 'yes', 'y', '1', 't', '已接入', '已') THEN TRUE
        WHEN word IN ('否', '无', '×', '✗', 'false', 'no', 'n', '0', 'f', '未接入', '未') THEN FALSE
        END)[1];
