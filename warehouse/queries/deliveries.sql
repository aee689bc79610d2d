-- Grain: one row per receipt of a delivery, the newest first: its latest judgement
-- Reads: delivery, partition_in_force
-- A value of NULL leaves its filter out.
SELECT
    delivery.* REPLACE (
        coalesce(list_transform(corrects, lambda origin: origin.delivery_id), []) AS corrects
    ),
    (delivery_id, received_at) IN (SELECT (delivery_id, received_at) FROM partition_in_force)
    AS in_force
FROM delivery
WHERE
    ($source IS NULL OR source = $source)
    AND ($department IS NULL OR department = $department)
    AND ($first IS NULL OR business_date BETWEEN CAST($first AS DATE) AND CAST($last AS DATE))
    AND ($verdict IS NULL OR verdict = $verdict)
QUALIFY row_number() OVER (PARTITION BY delivery_id, received_at ORDER BY position DESC) = 1
ORDER BY position DESC
LIMIT $limit
