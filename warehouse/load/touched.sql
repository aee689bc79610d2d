-- grain: one row per department and day whose metrics the wave may have changed
CREATE OR REPLACE TEMP TABLE touched AS
SELECT
    changed.department,
    changed.business_date,
    max(changed.position) AS position,
    count(current.delivery_id) > 0 AS is_heard
FROM (
    SELECT source, department, business_date, position FROM incoming
    UNION ALL
    SELECT source, department, business_date, position FROM replaced
) AS changed
LEFT JOIN partition_in_force AS current
    ON
        changed.source = current.source
        AND changed.department = current.department
        AND changed.business_date = current.business_date
GROUP BY changed.department, changed.business_date
