-- grain: one row per place whose newest input was not taken: a judgement that waits for a person
WITH newest AS (
    SELECT
        max(received_at) AS received_at,
        arg_max(delivery_id, (received_at, position)) AS delivery_id
    FROM delivery
    GROUP BY source, department, business_date, part
),

judged AS (
    SELECT *
    FROM delivery
    WHERE verdict <> 'unchanged'
    QUALIFY
        row_number() OVER (
            PARTITION BY delivery_id ORDER BY received_at DESC, position DESC
        ) = 1
)

SELECT judged.*
FROM judged
INNER JOIN newest USING (delivery_id)
WHERE
    judged.verdict IN ('rejected', 'held', 'unreadable')
    AND newest.received_at >= $since
ORDER BY judged.position
