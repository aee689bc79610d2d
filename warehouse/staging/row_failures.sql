-- Grain: one row per staged row and reason that concerns the row as a whole: its key, its partition
-- Reads: chunk.staged, chunk.landed, chunk.rule, chunk.failure
-- Writes: chunk.repeated, chunk.failure
-- Rows that share their key with another, or, in a source without a key, everything they say. Only
-- those are compared cell by cell: most deliveries have none.
CREATE TABLE chunk.repeated AS
WITH suspects AS (
    SELECT _delivery, _department, _business_date, ${key}
    FROM chunk.staged
    GROUP BY ALL
    HAVING count(*) > 1
),

contents AS (
    SELECT
        staged._id, staged._delivery, staged._department, staged._business_date, ${staged_key},
        to_json(struct_pack(${content})) AS _content
    FROM chunk.staged AS staged
    INNER JOIN suspects
        ON
            staged._delivery = suspects._delivery
            AND staged._department IS NOT DISTINCT FROM suspects._department
            AND staged._business_date IS NOT DISTINCT FROM suspects._business_date
            AND ${same_key}
)

SELECT
    _id,
    row_number() OVER (
        PARTITION BY _delivery, _department, _business_date, _content ORDER BY _id
    ) > 1 AS is_copy,
    min(_content) OVER same_key <> max(_content) OVER same_key AND ${has_key} AS is_conflict
FROM contents
WINDOW same_key AS (PARTITION BY _delivery, _department, _business_date, ${key});

INSERT INTO chunk.failure
WITH strays AS (
    SELECT
        staged._id,
        CASE
            WHEN landed.department IS NULL THEN 'unknown_department'
            ELSE 'other_department'
        END AS role,
        ${stray_department} AS value
    FROM chunk.staged AS staged
    INNER JOIN chunk.landed AS landed USING (_delivery)
    WHERE staged._stray_department IS NOT NULL
    UNION ALL
    SELECT _id, 'other_date', CAST(_stray_date AS VARCHAR)
    FROM chunk.staged
    WHERE _stray_date IS NOT NULL
    UNION ALL
    SELECT _id, 'no_date', NULL
    FROM chunk.staged
    WHERE _business_date IS NULL
    UNION ALL
    SELECT _id, 'key_conflict', NULL
    FROM chunk.repeated
    WHERE is_conflict
)

SELECT strays._id, rule.rule, strays.value
FROM strays
INNER JOIN chunk.rule AS rule USING (role);

-- A cell that is empty is told of once, and a cell that could not be read is not empty besides.
DELETE FROM chunk.failure
USING chunk.rule AS rule, chunk.failure AS other_failure, chunk.rule AS other_rule
WHERE
    failure.rule = rule.rule
    AND other_failure._id = failure._id
    AND other_failure.rule = other_rule.rule
    AND other_rule."column" = rule."column"
    AND (
        (rule.role = 'no_date' AND other_rule.role = '' AND other_rule.code = 'required')
        OR (
            rule.code = 'required'
            AND other_rule.code IN ('type', 'values', 'pattern', 'code', 'unit')
        )
    )
