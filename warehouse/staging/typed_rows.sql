-- Grain: one row per delivery: how many of the raw rows are declared noise
-- Reads: raw_rows (a view of what readers yielded), chunk.landed, chunk.department_name,
--     chunk.last_unit
-- Writes: chunk.staged, chunk.faulted
INSERT INTO chunk.staged BY NAME
WITH texts AS (
    SELECT
        _id, _delivery, sheet AS _sheet, row_number AS _row,
        ${texts}
    FROM raw_rows
    WHERE _fault IS NULL AND NOT ${ignored}
),

typed AS (
    SELECT *, ${typed}
    FROM texts
),

refused AS (
    SELECT
        _id, _delivery, _sheet, _row, ${columns},
        ${refused},
        ${department} AS _named_department, ${day} AS _named_day
    FROM typed
)

SELECT
    refused.* EXCLUDE (_named_department, _named_day),
    coalesce(landed.department, named.code) AS _department,
    coalesce(landed.business_date, refused._named_day) AS _business_date,
    -- A row names its department by code, name or short name, also by those of a predecessor.
    CASE
        WHEN
            landed.department IS NOT NULL
            AND refused._named_department IS NOT NULL
            AND alias.code IS NULL
            THEN refused._named_department
        WHEN landed.department IS NULL AND named.code IS NULL
            THEN coalesce(refused._named_department, '')
    END AS _stray_department,
    CASE
        WHEN refused._named_day <> landed.business_date THEN refused._named_day
    END AS _stray_date
FROM refused
INNER JOIN chunk.landed AS landed ON refused._delivery = landed._delivery
LEFT JOIN chunk.department_name AS named
    ON refused._named_department = named.name AND named.is_own
LEFT JOIN chunk.department_name AS alias
    ON refused._named_department = alias.name AND landed.department = alias.code;
INSERT INTO chunk.faulted
SELECT _id, _delivery, sheet, row_number, _fault, ${fault_value}, _fault_expected
FROM raw_rows
WHERE _fault IS NOT NULL AND NOT ${ignored};
SELECT _delivery, count(*) AS rows
FROM raw_rows
WHERE ${ignored}
GROUP BY _delivery
