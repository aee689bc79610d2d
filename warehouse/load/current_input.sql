-- grain: the newest receipt of a slot before an instant that was read row by row, if there is any
-- What was received earlier and known later was not there to be corrected.
WITH receipts AS (
    SELECT
        *,
        min(position) OVER (PARTITION BY delivery_id, received_at) AS first_position
    FROM delivery
    WHERE
        source = $source AND coalesce(department, 'all') = $department
        AND business_date IS NOT DISTINCT FROM CAST($day AS DATE) AND part = $part
        AND verdict <> 'unchanged'
        AND received_at < $received_at
    QUALIFY row_number() OVER (PARTITION BY delivery_id, received_at ORDER BY position DESC) = 1
)

SELECT *
FROM receipts
WHERE
    (verdict IN ('accepted', 'accepted_with_quarantine', 'held') OR quarantined > 0)
    AND NOT list_has_any(reasons ->> '$[*].code', ['outdated_return', 'withdrawn_return'])
    AND first_position < coalesce(
        (
            SELECT min(position) FROM delivery
            WHERE delivery_id = $delivery_id AND received_at = $received_at
        ),
        first_position + 1
    )
ORDER BY received_at DESC, delivery_id DESC
LIMIT 1
