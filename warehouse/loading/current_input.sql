-- Grain: at most one row: the newest receipt of a slot before the instant $before that was loaded.
--     With a $family of delivery ids: of these and of the returns that go back to them, and also
--     one that was held or only quarantined, for such rows can be mended, too.
-- Reads: delivery
WITH of_slot AS (
    SELECT *
    FROM delivery
    WHERE
        source = $source AND coalesce(department, 'all') = $department
        AND business_date IS NOT DISTINCT FROM CAST($day AS DATE) AND part = $part
        AND received_at < $before
),

receipts AS (
    SELECT *
    FROM of_slot
    WHERE verdict <> 'unchanged'
    QUALIFY row_number() OVER (PARTITION BY delivery_id, received_at ORDER BY position DESC) = 1
),

-- Bytes that came again, unchanged, were received again.
arrivals AS (
    SELECT delivery_id, list(received_at) AS instants
    FROM of_slot
    GROUP BY delivery_id
)

SELECT receipts.*
FROM receipts
INNER JOIN arrivals USING (delivery_id)
LEFT JOIN arrivals AS whole ON receipts.corrects[1].delivery_id = whole.delivery_id
WHERE
    (
        verdict IN ('accepted', 'accepted_with_quarantine')
        OR (len($family) > 0 AND (verdict = 'held' OR quarantined > 0))
    )
    AND NOT list_has_any(reasons ->> '$[*].code', ['outdated_return', 'withdrawn_return'])
    AND (
        len($family) = 0
        OR list_contains($family, delivery_id)
        OR list_has_any(list_transform(corrects, lambda origin: origin.delivery_id), $family)
    )
-- Rows of a return are as old as the file that it mends, unless a person let it replace another.
ORDER BY
    CASE
        WHEN
            whole.instants IS NULL
            OR list_has_any(warnings ->> '$[*].code', ['outdated_return', 'withdrawn_return'])
            THEN list_max(arrivals.instants)
        ELSE list_max(list_filter(whole.instants, lambda instant: instant < receipts.received_at))
    END DESC,
    list_max(arrivals.instants) DESC, received_at DESC, delivery_id DESC
LIMIT 1
