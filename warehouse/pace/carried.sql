-- grain: one row per department: its last observation, as known at a position
SELECT
    department,
    coalesce(arg_max(value, business_date), 0) AS value,
    coalesce(arg_max(numerator, business_date), 0) AS numerator,
    coalesce(arg_max(denominator, business_date), 0) AS denominator,
    max(business_date) AS last_observed
FROM metric_daily
WHERE
    metric = $metric AND breakdown = ''
    AND business_date <= $until
    AND known_from <= $position AND (known_until IS NULL OR known_until > $position)
GROUP BY department
