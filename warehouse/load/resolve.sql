-- What each part of a shared day may put into the source table. The answer depends on the parts that
-- stand there and never on the order in which they were processed:
--   mixed     whole files and parts: the kind that was first received stands, the other waits; when
--             both came together, within two seconds, neither can be believed
--   conflict  another part has the same key with other values: both are kept out
--   copy      another part, earlier by name, says the same
-- Rows kept out wait in standby, and come back when the day allows.

-- grain: one row per partition that stands on a shared day
CREATE OR REPLACE TEMP TABLE pool AS
WITH standing AS (
    SELECT
        there.delivery_id, there.department, there.business_date, there.part, there.rows,
        there.is_standby,
        least(there.first_received_at, late.first_received_at) AS first_received_at
    FROM delivery_partition AS there
    INNER JOIN shared_day USING (department, business_date)
    LEFT JOIN incoming AS late
        ON
            there.department = late.department
            AND there.business_date = late.business_date
            AND there.part = late.part
            AND late.is_late
    WHERE
        there.source = '${source}' AND there.known_until IS NULL
        AND NOT EXISTS (
            SELECT 1 FROM replaced
            WHERE
                replaced.department = there.department
                AND replaced.business_date = there.business_date
                AND replaced.part = there.part
        )
    UNION ALL
    SELECT
        incoming.delivery_id, incoming.department, incoming.business_date, incoming.part,
        incoming.rows, false, incoming.first_received_at
    FROM incoming
    INNER JOIN shared_day USING (department, business_date)
    WHERE NOT incoming.is_late
),

first AS (
    SELECT
        department, business_date,
        min(first_received_at) FILTER (part = '') AS whole,
        min(first_received_at) FILTER (part <> '') AS parts
    FROM standing
    GROUP BY department, business_date
)

SELECT
    standing.*,
    CASE
        WHEN first.whole IS NULL OR first.parts IS NULL THEN true
        WHEN greatest(first.whole, first.parts) < least(first.whole, first.parts) + INTERVAL 2 SECOND
            THEN false
        ELSE (standing.part = '') = (first.whole < first.parts)
    END AS is_welcome
FROM standing
INNER JOIN first USING (department, business_date);

-- grain: one row per row of a shared day that is kept out, or has been until now
CREATE OR REPLACE TEMP TABLE weighed AS
WITH everything AS (
    SELECT *, NULL AS why FROM ${table} SEMI JOIN shared_day USING (department, business_date)
    UNION ALL BY NAME
    SELECT * FROM ${standby} SEMI JOIN shared_day USING (department, business_date)
),

placed AS (
    SELECT everything.*, pool.is_welcome
    FROM everything
    INNER JOIN pool USING (department, business_date, part)
),

suspects AS (
    SELECT department, business_date, ${key}
    FROM placed
    WHERE is_welcome AND ${has_key}
    GROUP BY ALL
    HAVING min(part) <> max(part)
),

contents AS (
    SELECT
        placed.*, suspects.department IS NOT NULL AND placed.is_welcome AS is_suspect,
        CAST(to_json(struct_pack(${content})) AS VARCHAR) AS content
    FROM placed
    LEFT JOIN suspects
        ON
            placed.department = suspects.department
            AND placed.business_date = suspects.business_date
            AND ${same_key}
    WHERE NOT placed.is_welcome OR suspects.department IS NOT NULL OR placed.why IS NOT NULL
)

SELECT
    * EXCLUDE (is_welcome, is_suspect),
    CASE
        WHEN NOT is_welcome THEN 'mixed'
        WHEN NOT is_suspect THEN NULL
        WHEN min(content) OVER same_key <> max(content) OVER same_key THEN 'conflict'
        WHEN part <> min(part) OVER same_key THEN 'copy'
    END AS now
FROM contents
WINDOW same_key AS (PARTITION BY department, business_date, is_suspect, ${key});

CREATE OR REPLACE TEMP TABLE moved AS
SELECT * FROM weighed WHERE now IS DISTINCT FROM why;

DELETE FROM ${table}
USING moved
WHERE ${same_row};

DELETE FROM ${standby}
USING moved
WHERE ${same_row};

INSERT INTO ${table} BY NAME
SELECT * EXCLUDE (why, now, content) FROM moved WHERE now IS NULL;

INSERT INTO ${standby} BY NAME
SELECT * EXCLUDE (why, now, content), now AS why FROM moved WHERE now IS NOT NULL;

-- grain: one row per partition of a shared day, as it stands now
CREATE OR REPLACE TEMP TABLE resolved AS
WITH lost AS (
    SELECT
        department, business_date, part,
        count(now) - count(why) AS rows
    FROM moved
    GROUP BY department, business_date, part
)

SELECT
    pool.delivery_id, pool.department, pool.business_date, pool.part, pool.first_received_at,
    pool.rows - coalesce(lost.rows, 0) AS rows, NOT pool.is_welcome AS is_standby,
    -- also when as many rows came in as went out, or they are kept out for another reason
    lost.rows IS NOT NULL OR pool.is_welcome = pool.is_standby AS is_changed
FROM pool
LEFT JOIN lost USING (department, business_date, part)
