-- Grain: one row per slot whose newest input was not taken: a judgement that waits for somebody
-- Reads: delivery
WITH newest AS (
    SELECT
        max(received_at) AS received_at,
        arg_max(delivery_id, (received_at, position)) AS delivery_id
    FROM delivery
    GROUP BY source, department, business_date, part
),

latest_judgement AS (
    SELECT *
    FROM delivery
    WHERE verdict <> 'unchanged'
    QUALIFY
        row_number() OVER (
            PARTITION BY delivery_id ORDER BY received_at DESC, position DESC
        ) = 1
)

SELECT latest_judgement.*
FROM latest_judgement
INNER JOIN newest USING (delivery_id)
WHERE
    latest_judgement.verdict IN ('rejected', 'held', 'unreadable')
    AND newest.received_at >= $since
ORDER BY latest_judgement.position
