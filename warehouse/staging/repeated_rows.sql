-- grain: one row per staged row that shares its key (or, without a key, all it says) with another
CREATE OR REPLACE TABLE repeated AS
WITH suspects AS (
    SELECT _delivery, _department, _business_date, ${key}
    FROM staged
    GROUP BY ALL
    HAVING count(*) > 1
),

contents AS (
    SELECT
        staged._id, staged._delivery, staged._department, staged._business_date, ${staged_key},
        to_json(struct_pack(${content})) AS content
    FROM staged
    INNER JOIN suspects
        ON
            staged._delivery = suspects._delivery
            AND staged._department IS NOT DISTINCT FROM suspects._department
            AND staged._business_date IS NOT DISTINCT FROM suspects._business_date
            AND ${same_key}
)

SELECT
    _id, _delivery,
    row_number() OVER (
        PARTITION BY _delivery, _department, _business_date, content ORDER BY _id
    ) > 1 AS is_copy,
    min(content) OVER same_key <> max(content) OVER same_key AND ${has_key} AS is_conflict
FROM contents
WINDOW same_key AS (PARTITION BY _delivery, _department, _business_date, ${key})
