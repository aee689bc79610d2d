-- Grain: one row per delivery whose bytes, received before $before, no rebuild needs any more
-- Reads: delivery, delivery_partition
-- A rebuild has the same result without a delivery if later deliveries provide all its partitions.
WITH receipts AS (
    SELECT
        delivery_id, source, department, business_date, part, sha256,
        max(received_at) AS received_at,
        arg_max(verdict, position) FILTER (verdict <> 'unchanged') AS verdict
    FROM delivery
    GROUP BY ALL
),

newest AS (
    SELECT arg_max(delivery_id, (received_at, position)) AS delivery_id
    FROM delivery
    GROUP BY source, department, business_date, part
),

-- Partitions that a delivery has ever provided or, if it never did, would have.
places AS (
    SELECT DISTINCT delivery_id, source, department, business_date, part
    FROM delivery_partition
    UNION ALL
    SELECT delivery_id, source, department, business_date, part
    FROM receipts
    ANTI JOIN delivery_partition USING (delivery_id)
),

not_superseded AS (
    SELECT places.delivery_id
    FROM places
    INNER JOIN receipts USING (delivery_id)
    LEFT JOIN delivery_partition AS later
        ON
            later.known_until IS NULL
            AND places.source = later.source
            AND places.department = later.department
            AND places.business_date = later.business_date
            AND places.part = later.part
            AND places.delivery_id <> later.delivery_id
            AND receipts.received_at < later.received_at
    WHERE later.delivery_id IS NULL
),

-- Of a day's whole file and its parts, the kind that was received first stands: order matters.
on_shared_days AS (
    SELECT places.delivery_id
    FROM places
    INNER JOIN places AS sibling USING (source, department, business_date)
    WHERE places.part <> sibling.part
),

needed_itself AS (
    SELECT delivery_id FROM not_superseded
    UNION
    SELECT delivery_id FROM on_shared_days
    UNION
    SELECT delivery_id FROM newest
    UNION
    SELECT delivery_id FROM receipts WHERE verdict = 'held'
),

-- A return is read together with the deliveries that it corrects.
needed AS (
    SELECT delivery_id FROM needed_itself
    UNION
    SELECT unnest(corrects).delivery_id
    FROM delivery
    SEMI JOIN needed_itself USING (delivery_id)
)

-- Different deliveries can have the same bytes: those go only if none of them needs them.
SELECT receipts.sha256, receipts.delivery_id
FROM receipts
LEFT JOIN needed USING (delivery_id)
WINDOW same_bytes AS (PARTITION BY receipts.sha256)
QUALIFY
    max(receipts.received_at) OVER same_bytes < $before
    AND count(needed.delivery_id) OVER same_bytes = 0
ORDER BY receipts.sha256, receipts.delivery_id
