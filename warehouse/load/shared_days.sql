-- grain: one row per department and day of the wave that comes in more than one part
CREATE OR REPLACE TEMP TABLE shared_day AS
WITH changed AS (
    SELECT source, department, business_date, part FROM incoming
    UNION
    SELECT source, department, business_date, part FROM replaced
),

parts AS (
    SELECT department, business_date, part FROM changed
    UNION
    SELECT there.department, there.business_date, there.part
    FROM delivery_partition AS there
    INNER JOIN changed
        ON
            there.source = changed.source
            AND there.department = changed.department
            AND there.business_date = changed.business_date
    WHERE there.known_until IS NULL
)

SELECT department, business_date
FROM parts
GROUP BY department, business_date
HAVING count(*) > 1
