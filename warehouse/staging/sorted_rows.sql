-- grain: one row per staged row, with what becomes of it
CREATE OR REPLACE TABLE sorted AS
WITH kept_out AS (
    SELECT DISTINCT failure._id
    FROM failure
    INNER JOIN rule USING (rule)
    WHERE rule.critical
)

SELECT
    staged._id,
    staged._delivery,
    CASE
        WHEN kept_out._id IS NOT NULL THEN 'quarantined'
        WHEN repeated.is_copy THEN 'duplicate'
        ELSE 'good'
    END AS fate
FROM staged
LEFT JOIN kept_out USING (_id)
LEFT JOIN repeated USING (_id)
