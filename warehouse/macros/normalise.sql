-- normalise.sql: read the cells of an export. One cell of text in, one typed value or NULL out.
--
-- Every public macro first recognises the plain form with one constant regex and casts it; only
-- cells that this refuses pay for the careful path (CASE is lazy per row). A cell that cannot be
-- read is NULL, never a guess. tests/sql/normalise_oracle.py defines the same in Python, and a
-- property test compares the two.
--
-- DuckDB pastes a macro's text, and an argument as often as the macro names it: name a costly
-- argument once. A lambda's name hides an argument's, so a macro that is called inside a lambda may
-- not use the lambda's name again.
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

-- VARCHAR: folded text without white space, in which words are compared.
CREATE OR REPLACE TEMP MACRO _word(t) AS regexp_replace(_fold(t), '[[:space:]]+', '', 'g');

-- VARCHAR: the text without blanks at its ends and without invisible characters; NULL if nothing is
-- left.
CREATE OR REPLACE TEMP MACRO normalise_text(t) AS
    CASE WHEN regexp_matches(t, '^[[:space:]\x{3000}\x{A0}]|[[:space:]\x{3000}\x{A0}]$|[\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]')
    THEN nullif(regexp_replace(t, '^[[:space:]\x{3000}\x{A0}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]+|[[:space:]\x{3000}\x{A0}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]+$|[\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}\x{FEFF}]+', '', 'g'), '')
    ELSE nullif(t, '') END;

-- DuckDB casts text to a DECIMAL wider than 18 digits two hundred times slower than to a narrow
-- one, so the wide cast is only tried where the narrow one failed.
CREATE OR REPLACE TEMP MACRO _decimal(digits) AS
    coalesce(TRY_CAST(digits AS DECIMAL(18, 6)), TRY_CAST(digits AS DECIMAL(28, 6)));

-- The words that qualify a number: those before it (longer ones first), and those after it. Words
-- that say that the number was not reached (不足, 不到) are left out: the cell does not state it.
CREATE OR REPLACE TEMP MACRO _qualifiers_before() AS
    '约|大约|大概|近|将近|接近|超过|超|逾|突破|达到|达|共计|共|累计|不少于|不低于|至少';
CREATE OR REPLACE TEMP MACRO _qualifiers_after() AS '余|多|左右|上下|以上';

-- INTEGER: the power of ten of the words between a number and its unit ('余万' -> 4, '' -> 0).
CREATE OR REPLACE TEMP MACRO _scale_power(words) AS
    CASE WHEN regexp_full_match(words, '(?:[余多]?[十百千万亿]+)?(?:' || _qualifiers_after() || ')?')
    THEN list_position(
        ['', '十', '百', '千', '万', '十万', '百万', '千万', '亿', '十亿', '百亿', '千亿', '万亿'],
        regexp_extract(words, '[十百千万亿]*[十百千万亿]')
    ) - 1 END;

-- VARCHAR[]: the word itself, and the word without each unit that it ends with.
CREATE OR REPLACE TEMP MACRO _stems(word, units) AS
    list_transform(
        list_filter(
            list_concat([''], list_transform(units::VARCHAR[], lambda unit: _word(unit))),
            lambda unit: ends_with(word, unit)
        ),
        lambda unit: left(word, length(word) - length(unit))
    );

-- The value that all readings agree on; NULL where two units give two ('5万元' with 元 and 万元).
CREATE OR REPLACE TEMP MACRO _agreed(readings) AS
    list_transform(
        [readings], lambda each: CASE WHEN list_min(each) = list_max(each) THEN list_min(each) END
    )[1];

CREATE OR REPLACE TEMP MACRO _tail_power(tail, units) AS
    _agreed(list_transform(_stems(tail, units), lambda stem: _scale_power(stem)));

-- VARCHAR: the number with its point moved to the right by `power` digits; exact, because only text
-- is moved. NULL rather than rounded if more than six decimals are not zeros.
CREATE OR REPLACE TEMP MACRO _shifted(sign, whole, fraction, power) AS
    CASE WHEN (whole <> '' OR fraction <> '') AND length(rtrim(fraction, '0')) <= power + 6
    THEN sign || '0' || translate(whole, ', ', '') || rpad(fraction, CAST(power AS INTEGER), '0')
        || '.' || substr(fraction, power + 1, 6)
    END;

-- Read in this order: qualifier, sign, whole part (grouped in threes by , or by a space, or not at all), fraction, tail
CREATE OR REPLACE TEMP MACRO _worded_number(t, units) AS
    list_transform(
        [regexp_extract(
            _fold(t),
            '(?s)^[[:space:]]*(?:' || _qualifiers_before() || ')?[[:space:]]*'
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

-- VARCHAR: Chinese numerals in one spelling: financial (壹拾万) and traditional ones as plain ones, 两
-- as 二 before a scale (elsewhere it is a weight).
CREATE OR REPLACE TEMP MACRO _plain_numeral(words) AS
    regexp_replace(
        translate(words, '壹贰叁肆伍陆柒捌玖拾佰仟〇萬億兩', '一二三四五六七八九十百千零万亿两'),
        '两([百千万亿])', '二\1', 'g'
    );

-- The pattern of a section: the part before 亿, before 万, or after both: '3千5百', '二十三'.
CREATE OR REPLACE TEMP MACRO _section() AS
    '(?:(?:[1-9]千(?:零?[1-9]百)?|[1-9]百)(?:零?[1-9]十[1-9]?|零[1-9])?|[1-9]十[1-9]?)';

-- VARCHAR: the four digits of a section; more if it is written in more digits.
CREATE OR REPLACE TEMP MACRO _section_digits(section) AS
    CASE WHEN regexp_full_match(section, '零?[0-9]+')
    THEN list_transform(
        [ltrim(section, '零')], lambda digits: repeat('0', 4 - length(digits)) || digits
    )[1]
    ELSE list_transform(
        [regexp_extract(
            section,
            '^零?(?:([1-9])千)?零?(?:([1-9])百)?零?(?:([1-9])十)?零?([1-9])?$',
            ['thousands', 'hundreds', 'tens', 'ones']
        )],
        lambda part: right('0' || part.thousands, 1) || right('0' || part.hundreds, 1)
            || right('0' || part.tens, 1) || right('0' || part.ones, 1)
    )[1] END;

-- VARCHAR: the digits of a whole number in Chinese numerals ('一百二十三'), or of several parts with a scale
-- each, every part below the scale before it ('2亿6500万', '1亿零300万'). Digits in one part are
-- _worded_number's. 3 and 三 are not mixed, and two numerals side by side are a range (三五百).
-- 零 may stand between parts; a last part without a scale has 零 or 十 before it, or fills the four
-- places after 万, for 三万五 is said for 35000.
CREATE OR REPLACE TEMP MACRO _numeral_digits(numeral) AS
    list_transform(
        list_transform(
            list_filter(
                [CASE
                    WHEN regexp_matches(numeral, '[0-9][^0-9]+[0-9]') THEN numeral
                    WHEN NOT regexp_matches(numeral, '[0-9]|[一二三四五六七八九]{2}') THEN translate(
                        regexp_replace(numeral, '^十', '一十'), '一二三四五六七八九', '123456789'
                    )
                END],
                lambda parts: regexp_full_match(
                    parts,
                    '(?:(?:' || _section() || '|[0-9]+)'
                    || '(?:万(?:零?' || _section() || '|零[0-9]{1,4}|[0-9]{4})?)?亿)'
                    ||     '(?:零?(?:' || _section() || '|[0-9]{1,4})'
                    ||         '万(?:零?' || _section() || '|零[0-9]{1,4}|[0-9]{4})?'
                    ||     '|零?' || _section() || '|零[0-9]{1,4})?'
                    || '|(?:' || _section() || '|[0-9]+)'
                    ||     '万(?:零?' || _section() || '|零[0-9]{1,4}|[0-9]{4})?'
                    || '|' || _section() || '|[1-9]|零'
                )
            ),
            lambda parts: regexp_extract(
                parts,
                '^(?:(?:([^万亿]+)万)?([^万亿]*)亿)?(?:([^万亿]+)万)?([^万亿]*)$',
                ['trillions', 'hundred_millions', 'ten_thousands', 'ones']
            )
        ),
        lambda part: array_to_string(list_transform(
            [part.trillions, part.hundred_millions, part.ten_thousands, part.ones],
            lambda each: _section_digits(each)
        ), '')
    )[1];

-- The same for a numeral with decimals after 点 and a scale of its own: '三点五万'.
CREATE OR REPLACE TEMP MACRO _spelled_decimal(numeral) AS
    list_transform(
        list_transform(
            list_transform(
                [regexp_extract(
                    numeral,
                    '^([+-]?)(?:([^点0-9万亿]+)点([零一二三四五六七八九]+)([百千万亿]*)|([^+-].*))$',
                    ['sign', 'whole', 'fraction', 'scale', 'all']
                )],
                lambda part: struct_pack(
                    sign := part.sign,
                    whole := _numeral_digits(part.whole || part.all),
                    fraction := translate(part.fraction, '零一二三四五六七八九', '0123456789'),
                    power := _scale_power(part.scale)
                )
            ),
            lambda read: _shifted(read.sign, read.whole, read.fraction, read.power)
        ),
        lambda digits: _decimal(digits)
    )[1];

-- DECIMAL(28,6): a number in Chinese numerals or of several parts, qualified and with a unit. None
-- of its digits may follow a blank.
CREATE OR REPLACE TEMP MACRO _spelled_number(t, units) AS
    CASE
        WHEN regexp_matches(t, '[零〇一二两三四五六七八九十百千万亿壹贰叁肆伍陆柒捌玖拾佰仟萬億兩]')
        THEN list_transform(
            list_transform(
                list_filter(
                    [regexp_replace(
                        _fold(t),
                        '^[[:space:]]*(?:' || _qualifiers_before() || ')?[[:space:]]*([+-]?)[[:space:]]*',
                        '\1'
                    )],
                    lambda words: NOT regexp_matches(
                        words, '(?s)[[:space:]].*[0-9零〇一二两三四五六七八九壹贰叁肆伍陆柒捌玖兩]'
                    )
                ),
                lambda words: list_transform(
                    _stems(regexp_replace(words, '[[:space:]]+', '', 'g'), units),
                    lambda stem: _spelled_decimal(regexp_replace(
                        regexp_replace(_plain_numeral(stem), '(?:' || _qualifiers_after() || ')$', ''),
                        '[余多]([十百千万亿]+)$', '\1'
                    ))
                )
            ),
            lambda readings: CASE
                WHEN list_min(readings) = list_max(readings) THEN list_min(readings) END
        )[1]
    END;

-- VARCHAR: the qualifying words at the end of a number without its unit: '17373余万' -> '余'.
CREATE OR REPLACE TEMP MACRO _qualified(stem) AS
    list_transform(
        [regexp_extract(
            stem,
            '(?:([余多])[十百千万亿拾佰仟萬億]+)?(' || _qualifiers_after() || ')?$',
            ['inner', 'after']
        )],
        lambda part: concat_ws('…', nullif(part.inner, ''), nullif(part.after, ''))
    )[1];

-- BOOLEAN: whether a unit that the contract counts in has a scale of its own: 万元, 千克.
CREATE OR REPLACE TEMP MACRO _counts_by_scale(units) AS
    regexp_matches(
        array_to_string(units::VARCHAR[], chr(10)), '(?m)^[[:space:]]*[十百千万亿拾佰仟萬億]'
    );

-- BOOLEAN: whether a number without a unit has 万 or 亿 in it, or ends with a scale: 300万, 3百.
CREATE OR REPLACE TEMP MACRO _is_bare_scaled(t) AS
    regexp_full_match(
        _word(t),
        '(?:' || _qualifiers_before() || ')?'
        || '[-+0-9.,点零〇一二两三四五六七八九十百千万亿余多壹贰叁肆伍陆柒捌玖拾佰仟萬億兩]*'
        || '(?:[万亿萬億]'
        ||     '[0-9零〇一二两三四五六七八九十百千余多壹贰叁肆伍陆柒捌玖拾佰仟兩]*|[十百千拾佰仟])'
        || '(?:' || _qualifiers_after() || ')?'
    );

-- DECIMAL(28,6): the number that a cell states, in the contract's unit. `units` VARCHAR[]: the words
-- that may follow it. NULL for 300万 that is counted in 万元: it may be 300 or 3,000,000 of them.
CREATE OR REPLACE TEMP MACRO normalise_number(t, units) AS
    CASE WHEN regexp_full_match(t, '[+-]?[0-9]+(?:\.[0-9]{1,6})?') THEN _decimal(t)
    WHEN _counts_by_scale(units) AND _is_bare_scaled(t) THEN NULL
    ELSE coalesce(_worded_number(t, units), _spelled_number(t, units)) END;

-- VARCHAR: the words by which a number that could be read was qualified, as written: '约', '余';
-- words before and after it as '约…左右'. NULL for a bare number and for a cell that is no number.
CREATE OR REPLACE TEMP MACRO normalise_qualifier(t, units) AS
    CASE
        WHEN regexp_full_match(t, '[+-]?[0-9]+(?:\.[0-9]{1,6})?') THEN NULL
        WHEN normalise_number(t, units) IS NOT NULL THEN list_transform(
            [regexp_extract(
                _fold(t),
                '(?s)^[[:space:]]*(' || _qualifiers_before() || ')?(.*)$',
                ['before', 'rest']
            )],
            lambda part: nullif(concat_ws(
                '…',
                nullif(part.before, ''),
                list_filter(
                    list_transform(_stems(_word(part.rest), units), lambda stem: _qualified(stem)),
                    lambda words: words <> ''
                )[1]
            ), '')
        )[1]
    END;

-- BIGINT: a number in the same forms; NULL unless it is whole.
CREATE OR REPLACE TEMP MACRO normalise_integer(t, units) AS
    CASE WHEN regexp_full_match(t, '[+-]?[0-9]{1,18}(?:\.0+)?') THEN TRY_CAST(t AS BIGINT)
    ELSE TRY_CAST(
        list_filter([normalise_number(t, units)], lambda number: number = trunc(number))[1] AS BIGINT
    ) END;

-- INTEGER: 1 to 31 in Chinese numerals.
CREATE OR REPLACE TEMP MACRO _month_day(numeral) AS
    list_position(
        ['一', '二', '三', '四', '五', '六', '七', '八', '九', '十',
         '十一', '十二', '十三', '十四', '十五', '十六', '十七', '十八', '十九', '二十',
         '二十一', '二十二', '二十三', '二十四', '二十五', '二十六', '二十七', '二十八', '二十九',
         '三十', '三十一'],
        numeral
    );

-- INTEGER: the number of an English month, short or in full.
CREATE OR REPLACE TEMP MACRO _month(word) AS
    coalesce(
        list_position(
            ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
            word
        ),
        list_position(
            ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september',
             'october', 'november', 'december'],
            word
        )
    );

-- A date in Chinese numerals ('二〇二一年九月八日') or with an English month ('8-Sep-2021',
-- 'Sep 8, 2021', '2021-Sep-08') rewritten in digits, what follows it kept; NULL for a word that is
-- no month. Other text is left as it is. `s` is folded.
CREATE OR REPLACE TEMP MACRO _date_in_digits(s) AS
    CASE
        WHEN regexp_matches(s, '[零〇○一二三四五六七八九]年') THEN list_transform(
            [regexp_extract(
                s,
                '(?s)^[[:space:]]*([零〇○一二三四五六七八九]{4})年([一二三四五六七八九十]{1,2})月'
                || '([一二三四五六七八九十]{1,3})([日号].*)$',
                ['year', 'month', 'day', 'rest']
            )],
            lambda part: translate(part.year, '零〇○一二三四五六七八九', '000123456789')
                || '年' || _month_day(part.month) || '月' || _month_day(part.day) || part.rest
        )[1]
        WHEN regexp_matches(s, '[A-Za-z]{3}') THEN list_transform(
            [regexp_extract(
                s,
                '(?s)^[[:space:]]*(?:([0-9]{1,2})[-/ ]([A-Za-z]+)[-/ ]([0-9]{4})'
                || '|([A-Za-z]+)\.? ([0-9]{1,2}),? ([0-9]{4})'
                || '|([0-9]{4})[-/ ]([A-Za-z]+)[-/ ]([0-9]{1,2}))((?:[T[:space:]].*)?)$',
                ['day', 'month', 'year', 'month2', 'day2', 'year2', 'year3', 'month3', 'day3', 'rest']
            )],
            lambda part: part.year || part.year2 || part.year3
                || '-' || _month(lower(part.month || part.month2 || part.month3))
                || '-' || part.day || part.day2 || part.day3 || part.rest
        )[1]
        ELSE s
    END;

-- The hour of a 24-hour clock. NULL for 上午12:30, which people read as either half of the day.
CREATE OR REPLACE TEMP MACRO _hour(half, hour) AS
    CASE
        WHEN half = '' THEN hour
        WHEN half = '上午' THEN CASE WHEN CAST(hour AS INTEGER) < 12 THEN hour END
        WHEN CAST(hour AS INTEGER) >= 12 THEN hour
        WHEN CAST(hour AS INTEGER) > 0 THEN CAST(CAST(hour AS INTEGER) + 12 AS VARCHAR)
    END;

-- VARCHAR: a number's cell with the unit that another cell of its row says, unless the cell ends with
-- it already ('5041', '万条' -> '5041万条'). A unit that is none of `units`, scaled or not, is put in
-- brackets, with which nothing reads as a number; so is a bare scale if one of `units` has its own.
-- A cell with a scale beside a unit with a scale ('300万', '万元') is no number either.
CREATE OR REPLACE TEMP MACRO with_unit(t, unit, units) AS
    CASE
        WHEN unit IS NULL THEN t
        WHEN _tail_power(_word(unit), units) IS NULL THEN t || '（' || unit || '）'
        WHEN _counts_by_scale(units) AND _is_bare_scaled(unit) THEN t || '（' || unit || '）'
        WHEN ends_with(_word(t), _word(unit)) THEN t
        WHEN _counts_by_scale(units) AND _is_bare_scaled(t)
            AND regexp_matches(_word(unit), '^[余多]?[十百千万亿]') THEN t || '，' || unit
        ELSE t || unit
    END;

-- BOOLEAN: whether a cell is a figure without a unit. Zero is not: it is the same in any unit.
CREATE OR REPLACE TEMP MACRO is_bare_figure(t) AS
    normalise_number(t, []) <> 0;

-- VARCHAR: a word without the brackets or letters at its end; '' where it has none.
CREATE OR REPLACE TEMP MACRO _without_words(word) AS
    CASE
        WHEN ends_with(word, ')') THEN regexp_extract(word, '^(.*)\([^()]*\)$', 1)
        WHEN regexp_matches(
            word,
            '[^\p{L}0-9〇%‰℃°㎡㎥]'
            || '[^0-9零〇一二两三四五六七八九十百千万亿余多壹贰叁肆伍陆柒捌玖拾佰仟萬億]*$'
        ) THEN ''
        ELSE regexp_extract(
            word,
            '^(.*[0-9零〇一二两三四五六七八九十百千万亿余多壹贰叁肆伍陆柒捌玖拾佰仟萬億])'
            || '[^0-9零〇一二两三四五六七八九十百千万亿余多壹贰叁肆伍陆柒捌玖拾佰仟萬億]+$',
            1
        )
    END;

-- BOOLEAN: whether a cell that is no number in `units` would be one without the words after it, and
-- none of those words is a unit of the contract's.
CREATE OR REPLACE TEMP MACRO states_other_unit(t, units) AS
    list_transform(
        [list_transform(
            list_concat([_without_words(_word(t))], _stems(_word(t), units)[2:]),
            lambda number: normalise_number(number, []) IS NOT NULL
        )],
        lambda reads: reads[1] AND NOT list_contains(reads[2:], true)
    )[1];

-- UTC TIMESTAMP of a written date with or without a time of day, meant in Shanghai unless an
-- offset follows; the Shanghai year must be 1900 to 2100. `s` is folded.
-- A negative offset needs seconds before it: '10:30-11:30' is a span of time, not an offset. A
-- day of the week must be that of the date.
CREATE OR REPLACE TEMP MACRO _calendar_instant(s) AS
    list_filter(
        list_transform(
            [regexp_extract(
                replace(replace(_date_in_digits(s), '号', '日'), '日', '日 '),
                '^[[:space:]]*([0-9]{4})( ?[-/.年] ?|)([0-9]{1,2})( ?[-/.月] ?|)([0-9]{1,2})( ?日|)'
                || '(?:[[:space:]]*(?:\((?:星期|周)([一二三四五六日天]) ?\)|(?:星期|周)([一二三四五六日天])))?'
                || '(?:(?:T|[[:space:]]+|[[:space:]]*(上午|下午)[[:space:]]*)([01]?[0-9]|2[0-3])'
                ||     '(?::([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,6})0*)?)?'
                ||     '|时([0-5]?[0-9])分(?:([0-5]?[0-9])秒)?)'
                ||     ' ?(Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9]|)'
                || ')?[[:space:]]*$',
                ['year', 'mark1', 'month', 'mark2', 'day', 'mark3', 'weekday', 'weekday2', 'half',
                 'hour', 'minute', 'second', 'fraction', 'minute_zh', 'second_zh', 'zone']
            )],
            lambda part: CASE
                WHEN replace(part.mark1 || part.mark2 || part.mark3, ' ', '')
                    NOT IN ('--', '//', '..', '年月日')
                    AND (part.mark1 || part.mark2 || part.mark3 <> '' OR length(part.month || part.day) <> 4)
                    THEN NULL
                WHEN part.zone LIKE '-%' AND part.second = '' THEN NULL
                WHEN part.weekday || part.weekday2 <> ''
                    AND strpos('一二三四五六日', replace(part.weekday || part.weekday2, '天', '日'))
                        IS DISTINCT FROM isodow(TRY_CAST(
                            part.year || '-' || part.month || '-' || part.day AS DATE
                        ))
                    THEN NULL
                ELSE TRY_CAST(
                    part.year || '-' || part.month || '-' || part.day || ' '
                    || lpad(_hour(part.half, part.hour), 2, '0')
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
        WHEN regexp_full_match(t, '(?:19[0-9]{2}|20[0-9]{2}|2100)年[0-9]{1,2}月[0-9]{1,2}日')
            THEN TRY_CAST(translate(t, '年月日', '--') AS DATE)
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
        WHEN word IN ('是', '有', '对', '√', '✓', '✔', '✔️', 'true', 'yes', 'y', '1', 't', '已接入', '已') THEN TRUE
        WHEN word IN ('否', '无', '错', '×', '✗', '✘', 'false', 'no', 'n', '0', 'f', '未接入', '未') THEN FALSE
        END)[1];
