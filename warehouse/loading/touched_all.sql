-- Grain: one row per department and day that the source ever had.
-- Reads: delivery_partition
-- Writes: _touched
CREATE OR REPLACE TEMP TABLE _touched AS
SELECT
    department,
    business_date,
    CAST($position AS BIGINT) AS position,
    bool_or(known_until IS NULL AND NOT is_standby) AS is_heard
FROM delivery_partition
WHERE source = $source
GROUP BY department, business_date
