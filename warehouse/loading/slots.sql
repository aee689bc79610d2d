-- Grain: one row per slot of the candidates: its newest input, and whether that still stands.
-- Reads: delivery, delivery_partition, _candidate (from Python)
WITH newest AS (
    SELECT
        source, coalesce(department, 'all') AS department, business_date, part,
        max(received_at) AS received_at,
        arg_max(delivery_id, (received_at, position)) AS delivery_id,
        arg_max(sha256, (received_at, position)) AS sha256,
        arg_max(format, (received_at, position)) AS format,
        arg_max(contract_hash, (received_at, position)) AS contract_hash
    FROM delivery
    WHERE source IN (SELECT source FROM _candidate)
    GROUP BY ALL
),

-- A loaded delivery that lost any of its partitions since is worth loading again.
lost AS (
    SELECT DISTINCT delivery_id
    FROM (
        SELECT delivery_id
        FROM delivery_partition
        WHERE source IN (SELECT source FROM _candidate)
        GROUP BY delivery_id, department, business_date, part
        HAVING bool_and(known_until IS NOT NULL)
    )
),

-- A held delivery may pass by now: the total that it broke with may have been corrected.
held AS (
    SELECT delivery_id
    FROM delivery
    WHERE source IN (SELECT source FROM _candidate) AND verdict <> 'unchanged'
    GROUP BY delivery_id
    HAVING arg_max(verdict, (received_at, position)) = 'held'
)

SELECT DISTINCT
    candidate.source, candidate.department, candidate.business_date, candidate.part,
    newest.received_at, newest.sha256, newest.format, newest.contract_hash,
    newest.delivery_id NOT IN (SELECT delivery_id FROM lost)
    AND newest.delivery_id NOT IN (SELECT delivery_id FROM held)
    AND newest.delivery_id IN (SELECT delivery_id FROM delivery WHERE verdict <> 'unchanged')
    AS stands
FROM _candidate AS candidate
INNER JOIN newest
    ON
        candidate.source = newest.source
        AND candidate.department = newest.department
        AND candidate.business_date IS NOT DISTINCT FROM newest.business_date
        AND candidate.part = newest.part
