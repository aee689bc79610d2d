-- grain: one row per partition that the wave brings, with what stands against it
CREATE OR REPLACE TEMP TABLE incoming AS
WITH there AS (
    SELECT
        given.position, provider.department, provider.business_date, provider.delivery_id,
        provider.received_at, provider.first_received_at, provider.known_until
    FROM given
    INNER JOIN delivery_partition AS provider
        ON
            given.source = provider.source
            AND given.department = provider.department
            AND given.business_date = provider.business_date
            AND given.part = provider.part
    WHERE
        provider.known_until IS NULL
        -- what a person took away is not made up for by what had come before it
        OR provider.delivery_id IN (SELECT delivery_id FROM decision WHERE kind = 'withdraw')
),

receipts AS (
    -- bytes that came again, unchanged, were received again
    SELECT delivery_id, max(received_at) AS received_at
    FROM delivery
    SEMI JOIN there USING (delivery_id)
    GROUP BY delivery_id
),

standing AS (
    SELECT
        there.position, there.department, there.business_date,
        max({'at': greatest(there.received_at, receipts.received_at), 'id': there.delivery_id})
            AS newest,
        min(there.first_received_at) FILTER (there.known_until IS NULL) AS first_received_at
    FROM there
    LEFT JOIN receipts ON there.delivery_id = receipts.delivery_id AND there.known_until IS NULL
    GROUP BY there.position, there.department, there.business_date
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
