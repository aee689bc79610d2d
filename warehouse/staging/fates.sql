-- Grain: one row per delivery, fate and partition: how many of its rows came to that
-- Reads: chunk.staged, chunk.faulted, chunk.failure, chunk.rule, chunk.repeated
-- Writes: chunk.fate (one row per staged row)
CREATE TABLE chunk.fate AS
WITH kept_out AS (
    SELECT DISTINCT failure._id
    FROM chunk.failure AS failure
    INNER JOIN chunk.rule AS rule USING (rule)
    WHERE rule.critical
)

SELECT
    staged._id,
    CASE
        WHEN kept_out._id IS NOT NULL THEN 'quarantined'
        WHEN repeated.is_copy THEN 'duplicate'
        ELSE 'good'
    END AS fate
FROM chunk.staged AS staged
LEFT JOIN kept_out USING (_id)
LEFT JOIN chunk.repeated AS repeated USING (_id);

SELECT staged._delivery, fate.fate, staged._department, staged._business_date, count(*) AS rows
FROM chunk.staged AS staged
INNER JOIN chunk.fate AS fate USING (_id)
GROUP BY ALL
UNION ALL
SELECT _delivery, 'quarantined', NULL, NULL, count(*)
FROM chunk.faulted
GROUP BY _delivery
ORDER BY ALL
