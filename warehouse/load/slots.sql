-- grain: one row per delivery that the ledger knows or whose slot's latest input has its bytes
WITH latest AS (
    SELECT
        source, coalesce(department, 'all') AS department, business_date, part,
        arg_max(delivery_id, (received_at, position)) AS delivery_id,
        arg_max(sha256, (received_at, position)) AS sha256,
        arg_max(contract_hash, (received_at, position)) AS contract_hash
    FROM delivery
    WHERE verdict <> 'unchanged' AND source IN (SELECT source FROM candidate)
    GROUP BY ALL
),

-- a loaded delivery that lost any of its partitions since is worth loading again, and one that
-- was refused because of what else its day has may be welcome by now
lost AS (
    SELECT delivery_id
    FROM delivery_partition
    WHERE source IN (SELECT source FROM candidate)
    GROUP BY delivery_id, department, business_date, part
    HAVING bool_and(known_until IS NOT NULL)
    UNION ALL
    SELECT delivery_id
    FROM delivery
    WHERE
        source IN (SELECT source FROM candidate)
        AND list_contains(json_extract_string(reasons, '$[*].code'), 'parts_mixed')
)

SELECT
    candidate.delivery_id,
    candidate.delivery_id IN (
        SELECT delivery_id FROM delivery
        WHERE source IN (SELECT source FROM candidate)
    ) AS is_recorded
FROM candidate
LEFT JOIN latest
    ON
        candidate.source = latest.source
        AND candidate.department = latest.department
        AND candidate.business_date IS NOT DISTINCT FROM latest.business_date
        AND candidate.part = latest.part
WHERE
    is_recorded
    OR (
        candidate.sha256 = latest.sha256
        AND candidate.contract_hash = latest.contract_hash
        AND latest.delivery_id NOT IN (SELECT delivery_id FROM lost)
    )
