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

INSERT INTO delivery_partition BY NAME
SELECT
    position, delivery_id, source, department, business_date, part, rows, received_at,
    position AS known_from, CASE WHEN is_late THEN position END AS known_until
FROM incoming
