-- grain: one row per partition that the wave brings, with what stands against it
CREATE OR REPLACE TEMP TABLE incoming AS
WITH standing AS (
    SELECT
        given.position, given.department, given.business_date,
        max(current.received_at) FILTER (WHERE current.part = given.part) AS received_at,
        bool_or((current.part = '') <> (given.part = '')) AS is_mixed
    FROM given
    INNER JOIN delivery_partition AS current
        ON
            given.source = current.source
            AND given.department = current.department
            AND given.business_date = current.business_date
            AND given.delivery_id <> current.delivery_id
            AND current.known_until IS NULL
    GROUP BY given.position, given.department, given.business_date
)

SELECT
    given.*,
    -- newest is by receipt: what arrived earlier and is processed later changes nothing
    coalesce(standing.received_at > given.received_at, false) AS is_late,
    coalesce(standing.is_mixed, false) AS is_mixed
FROM given
LEFT JOIN standing USING (position, department, business_date)
