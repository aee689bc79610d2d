-- Grain: one row per partition that stands on a day of several parts.
-- Reads: _shared_day, _incoming, delivery_partition, the source's table and its standby table
-- Writes: the source's table and its standby table, delivery_partition, quarantine, _pool, _moved,
--     _resolved, _restated, _restated_partition
--
-- Decide what each part of a shared day may put into the source's table. The answer depends on the
-- parts that stand and never on the order in which they were processed:
--   mixed     whole files and parts: the kind that was first received stands, the other waits; when
--             both came together, within two seconds, neither can be believed
--   conflict  another part has the same key with other values: both are kept out
--   copy      another part, earlier by name, has the same row
-- Rows that are kept out wait in standby, and come back when the day allows. Columns of this file
-- that join those of a source begin with an underscore, as no declared column does.

-- Grain: one row per partition that stands on a shared day.
CREATE OR REPLACE TEMP TABLE _pool AS
WITH standing AS (
    SELECT
        version.delivery_id, version.department, version.business_date, version.part,
        version.rows, version.is_standby, version.first_received_at
    FROM delivery_partition AS version
    INNER JOIN _shared_day USING (department, business_date)
    WHERE version.source = $source AND version.known_until IS NULL
),

arrivals AS (
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
        WHEN arrivals.whole IS NULL OR arrivals.parts IS NULL THEN true
        WHEN
            greatest(arrivals.whole, arrivals.parts)
            < least(arrivals.whole, arrivals.parts) + INTERVAL 2 SECOND
            THEN false
        ELSE (standing.part = '') = (arrivals.whole < arrivals.parts)
    END AS is_welcome
FROM standing
INNER JOIN arrivals USING (department, business_date);

-- Grain: one row per row of a shared day that is to move: _why it was kept out until now, and why
-- from _now on (NULL: it is in force).
CREATE OR REPLACE TEMP TABLE _moved AS
WITH day_rows AS (
    SELECT *, NULL AS _why FROM ${table} SEMI JOIN _shared_day USING (department, business_date)
    UNION ALL BY NAME
    SELECT * FROM ${standby} SEMI JOIN _shared_day USING (department, business_date)
),

placed AS (
    SELECT day_rows.*, pool.is_welcome AS _is_welcome
    FROM day_rows
    INNER JOIN _pool AS pool USING (department, business_date, part)
),

-- Keys that several welcome parts have. Comparing the content of these rows alone keeps a day of
-- a million rows cheap.
suspects AS (
    SELECT department, business_date, ${key}
    FROM placed
    WHERE _is_welcome AND ${has_key}
    GROUP BY ALL
    HAVING min(part) <> max(part)
),

contents AS (
    SELECT
        placed.*, suspects.department IS NOT NULL AND placed._is_welcome AS _is_suspect,
        CAST(to_json(struct_pack(${content})) AS VARCHAR) AS _content
    FROM placed
    LEFT JOIN suspects
        ON
            placed.department = suspects.department
            AND placed.business_date = suspects.business_date
            AND ${same_key}
    WHERE NOT placed._is_welcome OR suspects.department IS NOT NULL OR placed._why IS NOT NULL
),

weighed AS (
    SELECT
        * EXCLUDE (_is_welcome, _is_suspect),
        CASE
            WHEN NOT _is_welcome THEN 'mixed'
            WHEN NOT _is_suspect THEN NULL
            WHEN min(_content) OVER same_key <> max(_content) OVER same_key THEN 'conflict'
            WHEN part <> min(part) OVER same_key THEN 'copy'
        END AS _now
    FROM contents
    WINDOW same_key AS (PARTITION BY department, business_date, _is_suspect, ${key})
)

SELECT * EXCLUDE (_content) FROM weighed WHERE _now IS DISTINCT FROM _why;

DELETE FROM ${table} AS source_row
USING _moved AS moved
WHERE ${same_row};

DELETE FROM ${standby} AS source_row
USING _moved AS moved
WHERE ${same_row};

INSERT INTO ${table} BY NAME
SELECT * EXCLUDE (_why, _now) FROM _moved WHERE _now IS NULL;

INSERT INTO ${standby} BY NAME
SELECT * EXCLUDE (_why, _now), _now AS _why FROM _moved WHERE _now IS NOT NULL;

-- Grain: one row per partition of a shared day, as it stands now.
CREATE OR REPLACE TEMP TABLE _resolved AS
WITH lost AS (
    SELECT department, business_date, part, count(_now) - count(_why) AS rows
    FROM _moved
    GROUP BY department, business_date, part
)

SELECT
    pool.delivery_id, pool.department, pool.business_date, pool.part,
    pool.rows - coalesce(lost.rows, 0) AS rows, NOT pool.is_welcome AS is_standby,
    -- also when as many rows came in as went out, or they are kept out for another reason
    lost.rows IS NOT NULL OR pool.is_welcome = pool.is_standby AS is_changed
FROM _pool AS pool
LEFT JOIN lost USING (department, business_date, part);

-- Grain: one row per delivery that the shared days changed: how many more of its rows are kept out
-- than before, how many of its days do not take it, and the position of the judgement that says so.
-- A delivery of the wave has one; a sibling that stood before gets a new one, from $position on.
CREATE OR REPLACE TEMP TABLE _restated AS
WITH changed AS (
    SELECT DISTINCT delivery_id FROM _resolved WHERE is_changed
),

reasons AS (
    SELECT
        delivery_id,
        count(*) FILTER (_now = 'copy') - count(*) FILTER (_why = 'copy') AS copies,
        count(*) FILTER (_now = 'conflict') - count(*) FILTER (_why = 'conflict') AS conflicts,
        count(*) FILTER (_now = 'mixed') - count(*) FILTER (_why = 'mixed') AS withheld
    FROM _moved
    GROUP BY delivery_id
),

wave AS (
    SELECT delivery_id, max(position) AS position
    FROM _incoming
    GROUP BY delivery_id
    HAVING NOT bool_and(is_late)
),

days AS (
    SELECT
        version.delivery_id, max(version.position) AS former_position,
        bool_and(coalesce(resolved.is_standby, version.is_standby)) AS is_refused,
        count(*) FILTER (coalesce(resolved.is_standby, version.is_standby)) AS refused_days
    FROM delivery_partition AS version
    SEMI JOIN changed USING (delivery_id)
    LEFT JOIN _resolved AS resolved USING (delivery_id, department, business_date, part)
    WHERE version.known_until IS NULL
    GROUP BY version.delivery_id
)

SELECT
    changed.delivery_id,
    coalesce(reasons.copies, 0) AS copies,
    coalesce(reasons.conflicts, 0) AS conflicts,
    coalesce(reasons.withheld, 0) AS withheld,
    days.is_refused, days.refused_days, days.former_position,
    wave.position IS NULL AS is_sibling,
    coalesce(
        wave.position,
        CAST($position AS BIGINT) - 1
        + row_number() OVER (PARTITION BY wave.position IS NULL ORDER BY changed.delivery_id)
    ) AS position
FROM changed
INNER JOIN days USING (delivery_id)
LEFT JOIN reasons USING (delivery_id)
LEFT JOIN wave USING (delivery_id);

-- A sibling's partition gets a new version, so that what was known before stays known.
CREATE OR REPLACE TEMP TABLE _restated_partition AS
SELECT
    version.* REPLACE (
        restated.position AS position, restated.position AS known_from, resolved.rows AS rows,
        resolved.is_standby AS is_standby
    )
FROM delivery_partition AS version
INNER JOIN _resolved AS resolved USING (delivery_id, department, business_date, part)
INNER JOIN _restated AS restated USING (delivery_id)
WHERE
    version.source = $source AND version.known_until IS NULL
    AND resolved.is_changed AND restated.is_sibling;

UPDATE delivery_partition
SET known_until = restated.position
FROM _restated_partition AS restated
WHERE
    delivery_partition.known_until IS NULL
    AND delivery_partition.source = restated.source
    AND delivery_partition.business_date = restated.business_date
    AND delivery_partition.department = restated.department
    AND delivery_partition.part = restated.part;

INSERT INTO delivery_partition BY NAME SELECT * FROM _restated_partition;

-- A partition of the wave was entered a moment ago, and nobody has known it otherwise.
UPDATE delivery_partition
SET rows = resolved.rows, is_standby = resolved.is_standby
FROM _resolved AS resolved
WHERE
    delivery_partition.known_until IS NULL
    AND delivery_partition.source = $source
    AND delivery_partition.delivery_id = resolved.delivery_id
    AND delivery_partition.business_date = resolved.business_date
    AND delivery_partition.department = resolved.department
    AND delivery_partition.part = resolved.part
    AND resolved.is_changed
    AND resolved.delivery_id IN (SELECT delivery_id FROM _restated WHERE NOT is_sibling);

-- A sibling that is judged again keeps the rows in quarantine that its own contents brought there.
INSERT INTO quarantine BY NAME
SELECT quarantine.* REPLACE (restated.position AS position)
FROM quarantine
INNER JOIN _restated AS restated
    ON
        quarantine.delivery_id = restated.delivery_id
        AND quarantine.position = restated.former_position
WHERE restated.is_sibling AND quarantine.reasons[1].code <> 'part_key_conflict';

INSERT INTO quarantine BY NAME
SELECT
    restated.position, placed.delivery_id, $source AS source, placed.department,
    placed.business_date, placed.sheet, placed.row_number,
    CAST(to_json(struct_pack(${content})) AS VARCHAR) AS row_text,
    [struct_pack(
        code := 'part_key_conflict', "column" := '', value := NULL, expected := $key_names
    )] AS reasons
FROM ${standby} AS placed
INNER JOIN _restated AS restated USING (delivery_id)
WHERE placed._why = 'conflict'
