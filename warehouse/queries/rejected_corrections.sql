-- grain: one row per partition whose newest input was not taken, while an older one is in force
WITH latest AS (
    SELECT source, department, business_date, part,
        arg_max(delivery_id, (received_at, position)) AS delivery_id,
        arg_max(verdict, (received_at, position)) AS verdict
    FROM delivery
    WHERE verdict <> 'unchanged' AND department IS NOT NULL
    GROUP BY source, department, business_date, part
)

SELECT latest.source, latest.department, CAST(latest.business_date AS VARCHAR) AS business_date,
    latest.delivery_id, latest.verdict
FROM latest
INNER JOIN delivery_partition AS current
    USING (source, department, business_date, part)
WHERE
    current.known_until IS NULL
    AND latest.verdict IN ('rejected', 'held', 'unreadable')
ORDER BY latest.business_date, latest.department
