-- grain: one row per raw row that can be mapped to columns and is not declared noise
WITH texts AS (
    SELECT
        _id, _delivery, sheet AS _sheet, row_number AS _row,
        ${texts}
    FROM raw
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
        ${unit} AS _unit, ${day} AS _day
    FROM typed
)

SELECT
    refused.* EXCLUDE (_unit, _day),
    coalesce(landed.department, named.code) AS _department,
    coalesce(landed.business_date, refused._day) AS _business_date,
    -- a row names its department by code, name or short name, also by a predecessor's
    CASE
        WHEN landed.department IS NOT NULL AND refused._unit IS NOT NULL AND alias.code IS NULL
            THEN refused._unit
        WHEN landed.department IS NULL AND named.code IS NULL
            THEN coalesce(refused._unit, '')
    END AS _stray_department,
    CASE
        WHEN refused._day <> landed.business_date THEN refused._day
    END AS _stray_date
FROM refused
INNER JOIN landed ON refused._delivery = landed._delivery
LEFT JOIN department_name AS named ON refused._unit = named.name AND named.own
LEFT JOIN department_name AS alias
    ON refused._unit = alias.name AND landed.department = alias.code
