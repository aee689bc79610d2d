-- grain: one row per delivery on a shared day to which the wave made a difference
SELECT
    changed.delivery_id,
    coalesce(count(*) FILTER (moved.now = 'copy') - count(*) FILTER (moved.why = 'copy'), 0)
        AS copies,
    coalesce(count(*) FILTER (moved.now = 'conflict') - count(*) FILTER (moved.why = 'conflict'), 0)
        AS conflicts,
    coalesce(count(*) FILTER (moved.now = 'mixed') - count(*) FILTER (moved.why = 'mixed'), 0)
        AS withheld
FROM (SELECT DISTINCT delivery_id FROM resolved WHERE is_changed) AS changed
LEFT JOIN moved ON changed.delivery_id = moved.delivery_id
GROUP BY changed.delivery_id
ORDER BY changed.delivery_id
