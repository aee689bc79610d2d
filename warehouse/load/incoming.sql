-- grain: one row per partition that the wave brings, with what stands against it
CREATE OR REPLACE TEMP TABLE incoming AS
WITH receipts AS (
    -- bytes that came again, unchanged, were received again
    SELECT delivery.delivery_id, max(delivery.received_at) AS received_at
    FROM delivery
    WHERE delivery.source IN (SELECT source FROM given)
    GROUP BY delivery.delivery_id
),

standing AS (
    SELECT
        given.position, given.department, given.business_date,
        max({'at': greatest(there.received_at, receipts.received_at), 'id': there.delivery_id})
            AS newest,
        min(there.first_received_at) FILTER (there.known_until IS NULL) AS first_received_at
    FROM given
    INNER JOIN delivery_partition AS there
        ON
            given.source = there.source
            AND given.department = there.department
            AND given.business_date = there.business_date
            AND given.part = there.part
    LEFT JOIN receipts ON there.delivery_id = receipts.delivery_id AND there.known_until IS NULL
    WHERE
        there.known_until IS NULL
        -- what a person took away is not made up for by what had come before it
        OR there.delivery_id IN (SELECT delivery_id FROM decision WHERE kind = 'withdraw')
    GROUP BY given.position, given.department, given.business_date
)

SELECT
    given.*,
    -- newest is by receipt: what arrived earlier and is processed later changes nothing
    ${by_receipt} AND coalesce(
        standing.newest > {'at': given.received_at, 'id': given.delivery_id}, false
    ) AS is_late,
    least(given.received_at, standing.first_received_at) AS first_received_at
FROM given
LEFT JOIN standing USING (position, department, business_date)
