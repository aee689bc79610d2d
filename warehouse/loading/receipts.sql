-- Grain: one row per receipt of a source, the earliest first; receipts that repeat the bytes of the
--     one before are left out.
-- Reads: delivery, decision
WITH receipts AS (
    SELECT *
    FROM delivery
    WHERE source = $source
    QUALIFY
        row_number() OVER (PARTITION BY delivery_id, received_at ORDER BY position DESC) = 1
),

marked AS (
    SELECT
        receipts.*,
        sha256 = lag(sha256) OVER slot AND format = lag(format) OVER slot
        AND verdict = 'unchanged' AS is_repeated
    FROM receipts
    WINDOW slot AS (
        PARTITION BY department, business_date, part ORDER BY received_at, delivery_id
    )
)

SELECT
    marked.* EXCLUDE (is_repeated), accepted.reason AS overruled, accepted.decided_at
FROM marked
LEFT JOIN LATERAL (
    SELECT
        arg_max(decision.reason, decision.position) AS reason,
        max(decision.decided_at) AS decided_at
    FROM decision
    WHERE
        decision.kind = 'accept'
        AND decision.delivery_id = marked.delivery_id
        AND decision.decided_at >= marked.received_at
) AS accepted ON true
WHERE NOT coalesce(marked.is_repeated, false)
ORDER BY marked.received_at, marked.delivery_id
