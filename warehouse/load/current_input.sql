-- grain: the newest receipt of a slot before an instant that was read row by row, if there is any:
-- of $family and what goes back to it, where that is given, or that was loaded
WITH receipts AS (
    SELECT *
    FROM delivery
    WHERE
        source = $source AND coalesce(department, 'all') = $department
        AND business_date IS NOT DISTINCT FROM CAST($day AS DATE) AND part = $part
        AND verdict <> 'unchanged'
        AND received_at < $before
    QUALIFY row_number() OVER (PARTITION BY delivery_id, received_at ORDER BY position DESC) = 1
)

SELECT *
FROM receipts
WHERE
    (
        verdict IN ('accepted', 'accepted_with_quarantine')
        OR (len($family) > 0 AND (verdict = 'held' OR quarantined > 0))
    )
    AND NOT list_has_any(reasons ->> '$[*].code', ['outdated_return', 'withdrawn_return'])
    AND (
        len($family) = 0
        OR list_contains($family, delivery_id)
        OR list_has_any(list_transform(corrects, lambda one: one.delivery_id), $family)
    )
ORDER BY received_at DESC, delivery_id DESC
LIMIT 1
