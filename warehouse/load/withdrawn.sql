-- grain: one row per partition that a withdrawn delivery provides now
CREATE OR REPLACE TEMP TABLE replaced AS
SELECT source, department, business_date, part, delivery_id, rows, CAST(${position} AS BIGINT) AS position
FROM delivery_partition
WHERE known_until IS NULL AND delivery_id = '${delivery_id}';

CREATE OR REPLACE TEMP TABLE incoming AS
SELECT
    replaced.* EXCLUDE (rows), rows, CAST(NULL AS TIMESTAMP) AS received_at,
    CAST(NULL AS TIMESTAMP) AS first_received_at, CAST(NULL AS TIMESTAMP) AS sent_at,
    false AS is_late
FROM replaced
WHERE false
