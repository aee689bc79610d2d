-- grain: one row per total in force that is the nearest, before or after, to one that is stated
-- most are found on the nearest day, and only for the others it looks farther
INSERT INTO neighbour
WITH sides AS (
    SELECT DISTINCT business_date AS for_day, side.is_after, ${key}
    FROM stated
    CROSS JOIN (VALUES (false), (true)) AS side (is_after)
),

sought AS (
    SELECT * FROM sides
    ANTI JOIN neighbour USING (for_day, is_after, ${key})
)

SELECT
    near_day.for_day, near_day.is_after, ${key}, business_date, there.cumulative,
    there.increment, there.correction
FROM (
    SELECT department, business_date, part, ${columns}
    FROM ${table}
    -- whole blocks of other days are never read
    WHERE business_date BETWEEN
        (SELECT min(business_date) FROM near_day
         WHERE distance BETWEEN ${nearest} AND ${farthest})
        AND (SELECT max(business_date) FROM near_day
             WHERE distance BETWEEN ${nearest} AND ${farthest})
) AS there
INNER JOIN near_day USING (department, business_date, part)
INNER JOIN sought USING (for_day, is_after, ${key})
WHERE near_day.distance BETWEEN ${nearest} AND ${farthest} AND there.cumulative IS NOT NULL
QUALIFY near_day.distance = min(near_day.distance) OVER (PARTITION BY for_day, is_after, ${key})
