-- Grain: one row per partition and delivery that provides it, for as long as it does.
-- Reads: _incoming, _mended, _accepted, delivery_partition
-- Writes: delivery_partition, the source's table and its standby table, _replaced, _shared_day

-- Grain: one row per current partition that the wave replaces.
CREATE OR REPLACE TEMP TABLE _replaced AS
SELECT
    version.source, version.department, version.business_date, version.part, version.delivery_id,
    version.rows, incoming.position
FROM _incoming AS incoming
INNER JOIN delivery_partition AS version
    ON
        incoming.source = version.source
        AND incoming.department = version.department
        AND incoming.business_date = version.business_date
        AND incoming.part = version.part
        AND version.known_until IS NULL
WHERE NOT incoming.is_late
UNION ALL
-- A return is its whole file, mended: where that, or another return of it, put rows of which the
-- return has none, they go. A withdrawal is written as a return that brings nothing at all.
SELECT
    version.source, version.department, version.business_date, version.part, version.delivery_id,
    version.rows, mended.position
FROM _mended AS mended
INNER JOIN delivery_partition AS version
    ON list_contains(mended.laid_upon, version.delivery_id) AND version.known_until IS NULL
LEFT JOIN _incoming AS incoming
    ON
        mended.position = incoming.position
        AND version.department = incoming.department
        AND version.business_date = incoming.business_date
WHERE incoming.position IS NULL;

DELETE FROM ${table} AS source_row
USING _replaced AS replaced
WHERE
    source_row.business_date = replaced.business_date
    AND source_row.department = replaced.department
    AND source_row.part = replaced.part;

DELETE FROM ${standby} AS source_row
USING _replaced AS replaced
WHERE
    source_row.business_date = replaced.business_date
    AND source_row.department = replaced.department
    AND source_row.part = replaced.part;

INSERT INTO ${table} BY NAME
SELECT accepted.*
FROM _accepted AS accepted
INNER JOIN _incoming AS incoming USING (delivery_id, department, business_date)
WHERE NOT incoming.is_late;

UPDATE delivery_partition
SET known_until = replaced.position
FROM _replaced AS replaced
WHERE
    delivery_partition.known_until IS NULL
    AND delivery_partition.source = replaced.source
    AND delivery_partition.business_date = replaced.business_date
    AND delivery_partition.department = replaced.department
    AND delivery_partition.part = replaced.part;

-- A late version came before the one that stands, so that the partition has existed for longer.
UPDATE delivery_partition
SET first_received_at = least(delivery_partition.first_received_at, incoming.first_received_at)
FROM _incoming AS incoming
WHERE
    incoming.is_late
    AND delivery_partition.known_until IS NULL
    AND delivery_partition.source = incoming.source
    AND delivery_partition.business_date = incoming.business_date
    AND delivery_partition.department = incoming.department
    AND delivery_partition.part = incoming.part;

-- A late version is recorded as closed by its own judgement: it was received, and never stood.
INSERT INTO delivery_partition BY NAME
SELECT
    position, delivery_id, source, department, business_date, part, rows, received_at,
    position AS known_from,
    CASE WHEN is_late THEN position END AS known_until,
    first_received_at, sent_at, false AS is_standby
FROM _incoming;

-- Grain: one row per department and day of the wave that comes in more than one part, or did until
-- the wave took one of them away.
CREATE OR REPLACE TEMP TABLE _shared_day AS
WITH changed AS (
    SELECT source, department, business_date FROM _incoming
    UNION
    SELECT source, department, business_date FROM _replaced
),

parts AS (
    SELECT department, business_date, part FROM _replaced
    UNION
    SELECT version.department, version.business_date, version.part
    FROM delivery_partition AS version
    SEMI JOIN changed
        ON
            version.source = changed.source
            AND version.department = changed.department
            AND version.business_date = changed.business_date
    WHERE version.known_until IS NULL
)

SELECT department, business_date
FROM parts
GROUP BY department, business_date
HAVING count(*) > 1
