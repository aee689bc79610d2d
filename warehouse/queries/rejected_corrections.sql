-- Grain: one row per partition whose newest input was not taken, while an older one is in force
-- Reads: delivery, partition_in_force
WITH newest AS (
    SELECT source, department, business_date, part,
        arg_max(delivery_id, (received_at, position)) AS delivery_id
    FROM delivery
    WHERE department IS NOT NULL
    GROUP BY source, department, business_date, part
),

judged AS (
    SELECT delivery_id, arg_max(verdict, (received_at, position)) AS verdict
    FROM delivery
    WHERE verdict <> 'unchanged'
    GROUP BY delivery_id
),

latest AS (
    SELECT newest.*, judged.verdict
    FROM newest
    INNER JOIN judged USING (delivery_id)
)

SELECT latest.source, latest.department, CAST(latest.business_date AS VARCHAR) AS business_date,
    latest.delivery_id, latest.verdict
FROM latest
INNER JOIN partition_in_force AS current
    USING (source, department, business_date, part)
WHERE
    latest.verdict IN ('rejected', 'held', 'unreadable')
ORDER BY latest.business_date, latest.department
