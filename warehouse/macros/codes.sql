-- codes.sql: recognise public codes by their check character or structure (needs normalise.sql).
--
-- is_...(code) says whether a code is valid; it must be spelled in half-width capitals and digits,
-- without blanks. normalise_...(t) gives a cell's code in that spelling, NULL if it is not valid.

-- The first two digits of a region code (GB/T 2260): a province that exists.
CREATE OR REPLACE TEMP MACRO _province() AS
    '(?:1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[12])';

-- GB/T 2260: province, city, county. A county lies in a city or, with 90, directly in the province.
CREATE OR REPLACE TEMP MACRO is_region(code) AS
    regexp_full_match(code, _province() || '(?:0000|(?:0[1-9]|[1-9][0-9])[0-9]{2})');

-- GB 32100-2015, unified social credit code: authority and kind (2), region of registration (6
-- digits), organisation (9), check character. There are 31 characters: I O S V Z are left out, as
-- they look like others. The values, weighted with powers of 3 and the check character with 1, add
-- up to a multiple of 31.
CREATE OR REPLACE TEMP MACRO is_uscc(code) AS
    regexp_full_match(code, '[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}')
    AND list_sum(list_transform(
        [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28, 1],
        lambda weight, place: weight
            * (strpos('0123456789ABCDEFGHJKLMNPQRTUWXY', substr(code, place, 1)) - 1)
    )) % 31 = 0;

-- GB 11643-1999, citizen's identity number: region (here only its province; 83 is on residence
-- permits of people from Taiwan), day of birth (a day that existed), order, check character by
-- ISO 7064 MOD 11-2.
CREATE OR REPLACE TEMP MACRO is_id_number(code) AS
    regexp_full_match(code, '(?:' || _province() || '|83)[0-9]{4}(?:18|19|20)[0-9]{9}[0-9X]')
    AND TRY_CAST(substr(code, 7, 4) || '-' || substr(code, 11, 2) || '-' || substr(code, 13, 2)
        AS DATE) IS NOT NULL
    AND list_sum(list_transform(
        [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 1],
        lambda weight, place: weight * (strpos('0123456789X', substr(code, place, 1)) - 1)
    )) % 11 = 1;

-- GB/T 28181 (annex D), 20 digits: centre (8, of which 6 are its region), trade (2), type (3:
-- 111-130 hosts, 131-199 cameras and other peripherals, 2xx platforms, 3xx and 4xx users, 5xx
-- outer servers), network (1), number (6).
CREATE OR REPLACE TEMP MACRO is_gb28181(code) AS
    is_region(left(code, 6))
    AND regexp_full_match(code, '[0-9]{10}(?:11[1-9]|1[2-9][0-9]|[2-5][0-9]{2})[0-9]{7}');

-- VARCHAR: a cell's text in the spelling of codes.
CREATE OR REPLACE TEMP MACRO _code(t) AS
    CASE WHEN regexp_full_match(t, '[0-9A-Z]+') THEN t ELSE upper(_word(t)) END;

CREATE OR REPLACE TEMP MACRO normalise_uscc(t) AS
    list_filter([_code(t)], lambda code: is_uscc(code))[1];

CREATE OR REPLACE TEMP MACRO normalise_id_number(t) AS
    list_filter([_code(t)], lambda code: is_id_number(code))[1];

CREATE OR REPLACE TEMP MACRO normalise_region(t) AS
    list_filter([_code(t)], lambda code: is_region(code))[1];

CREATE OR REPLACE TEMP MACRO normalise_gb28181(t) AS
    list_filter([_code(t)], lambda code: is_gb28181(code))[1];
