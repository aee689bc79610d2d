-- grain: one row per department: what its days in the window add up to, as known at a position
SELECT
    department,
    coalesce(sum(value), 0) AS value,
    coalesce(sum(numerator), 0) AS numerator,
    coalesce(sum(denominator), 0) AS denominator,
    max(business_date) AS last_observed
FROM metric_daily
WHERE
    metric = $metric AND breakdown = ''
    AND business_date BETWEEN $start AND $until
    AND known_from <= $position AND (known_until IS NULL OR known_until > $position)
GROUP BY department
