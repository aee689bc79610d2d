-- grain: one row per delivery to be mended: its slot's newest that was read row by row, if it has
-- rows in quarantine
WITH receipts AS (
    SELECT *
    FROM delivery
    WHERE verdict <> 'unchanged'
    QUALIFY row_number() OVER (PARTITION BY delivery_id, received_at ORDER BY position DESC) = 1
),

newest AS (
    SELECT *
    FROM receipts
    WHERE
        (verdict IN ('accepted', 'accepted_with_quarantine', 'held') OR quarantined > 0)
        AND NOT list_contains(reasons ->> '$[*].code', 'outdated_return')
    QUALIFY
        row_number() OVER (
            PARTITION BY source, department, business_date, part
            ORDER BY received_at DESC, delivery_id DESC
        ) = 1
)

SELECT *
FROM newest
WHERE
    quarantined > 0
    AND NOT EXISTS (
        SELECT 1
        FROM decision
        WHERE
            decision.kind = 'withdraw' AND decision.delivery_id = newest.delivery_id
            AND decision.position > newest.position
    )
ORDER BY source, business_date, department, part
