-- grain: one row per partition and the delivery that provides it, for as long as it does
UPDATE delivery_partition
SET known_until = replaced.position
FROM replaced
WHERE
    delivery_partition.known_until IS NULL
    AND delivery_partition.source = replaced.source
    AND delivery_partition.business_date = replaced.business_date
    AND delivery_partition.department = replaced.department
    AND delivery_partition.part = replaced.part;

-- an earlier version came after a later one: the partition has been there for longer
UPDATE delivery_partition
SET first_received_at = least(delivery_partition.first_received_at, incoming.first_received_at)
FROM incoming
WHERE
    incoming.is_late
    AND delivery_partition.known_until IS NULL
    AND delivery_partition.source = incoming.source
    AND delivery_partition.business_date = incoming.business_date
    AND delivery_partition.department = incoming.department
    AND delivery_partition.part = incoming.part;

CREATE OR REPLACE TEMP TABLE restated AS
SELECT
    there.* REPLACE (
        sibling.position AS position, sibling.position AS known_from, resolved.rows AS rows,
        resolved.is_standby AS is_standby
    )
FROM delivery_partition AS there
INNER JOIN resolved USING (delivery_id, department, business_date, part)
INNER JOIN sibling USING (delivery_id)
WHERE there.source = '${source}' AND there.known_until IS NULL AND resolved.is_changed;

UPDATE delivery_partition
SET known_until = restated.position
FROM restated
WHERE
    delivery_partition.known_until IS NULL
    AND delivery_partition.source = restated.source
    AND delivery_partition.business_date = restated.business_date
    AND delivery_partition.department = restated.department
    AND delivery_partition.part = restated.part;

INSERT INTO delivery_partition BY NAME SELECT * FROM restated;

INSERT INTO delivery_partition BY NAME
SELECT
    incoming.position, incoming.delivery_id, incoming.source, incoming.department,
    incoming.business_date, incoming.part, coalesce(resolved.rows, incoming.rows) AS rows,
    incoming.received_at, incoming.position AS known_from,
    CASE WHEN incoming.is_late THEN incoming.position END AS known_until,
    incoming.first_received_at, incoming.sent_at,
    coalesce(resolved.is_standby, false) AS is_standby
FROM incoming
LEFT JOIN resolved
    ON
        NOT incoming.is_late
        AND incoming.department = resolved.department
        AND incoming.business_date = resolved.business_date
        AND incoming.part = resolved.part
