-- Grain: one row per department that reported a metric in a window, as known at a ledger position
-- Reads: metric_daily
-- A stock, and a ratio over snapshots, is carried: its last observation holds. All else adds up.
SELECT
    department,
    coalesce(
        CASE WHEN $is_carried THEN arg_max(value, business_date) ELSE sum(value) END, 0
    ) AS value,
    coalesce(
        CASE WHEN $is_carried THEN arg_max(numerator, business_date) ELSE sum(numerator) END, 0
    ) AS numerator,
    coalesce(
        CASE WHEN $is_carried THEN arg_max(denominator, business_date) ELSE sum(denominator) END, 0
    ) AS denominator,
    max(business_date) AS last_observed
FROM metric_daily
WHERE
    metric = $metric AND breakdown = ''
    AND business_date <= $until AND ($is_carried OR business_date >= $since)
    AND known_from <= $position AND (known_until IS NULL OR known_until > $position)
GROUP BY department
