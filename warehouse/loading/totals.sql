-- Grain: one row per total that a judgement of the wave's totals has to know.
-- Reads: _incoming, _accepted, partition_in_force, the source's table
-- Writes: ${observed}, _near_day, _stated, _neighbour
--
-- Collect the running totals of one declaration of a contract: those that the wave states
-- (position), those that it replaces (replaced_by; they stay if their successor is held), and of
-- each the nearest in force before and after it.

CREATE OR REPLACE TEMP MACRO _figure(_number) AS
    rtrim(rtrim(CAST(CAST(_number AS DECIMAL(38, 6)) AS VARCHAR), '0'), '.');

-- Grain: one row per day of the wave and partition in force that stays beside it, if its day is
-- among the $days nearest before, or after, on which anything of the department is in force.
CREATE OR REPLACE TEMP TABLE _near_day AS
WITH came AS (
    SELECT DISTINCT department, business_date AS for_day
    FROM _incoming
    WHERE NOT is_late
),

staying AS (
    SELECT provider.department, provider.business_date, provider.part
    FROM partition_in_force AS provider
    SEMI JOIN came USING (department)
    WHERE
        provider.source = $source
        AND NOT EXISTS (
            SELECT 1 FROM _incoming AS incoming
            WHERE
                NOT incoming.is_late
                AND incoming.department = provider.department
                AND incoming.business_date = provider.business_date
                AND incoming.part = provider.part
        )
),

ranked AS (
    SELECT
        staying.*, came.for_day, staying.business_date > came.for_day AS is_after,
        dense_rank() OVER (
            PARTITION BY came.department, came.for_day, staying.business_date > came.for_day
            ORDER BY abs(staying.business_date - came.for_day)
        ) AS distance
    FROM came
    INNER JOIN staying USING (department)
    WHERE staying.business_date <> came.for_day
)

SELECT * FROM ranked WHERE distance <= $days;

-- Grain: one row per total that the wave states. Columns of this file that stand beside a source's
-- begin with an underscore, as no declared column does.
CREATE OR REPLACE TEMP TABLE _stated AS
SELECT incoming.position, accepted.*
FROM (
    SELECT delivery_id, department, business_date, row_number, ${columns}
    FROM _accepted
) AS accepted
INNER JOIN _incoming AS incoming USING (delivery_id, department, business_date)
WHERE NOT incoming.is_late AND accepted._cumulative IS NOT NULL;

CREATE OR REPLACE TEMP TABLE ${observed} (
    department VARCHAR, business_date DATE, breakdown VARCHAR, cumulative DECIMAL(28, 6),
    increment DECIMAL(28, 6), correction DECIMAL(28, 6), position BIGINT, row_number BIGINT,
    replaced_by BIGINT
);

INSERT INTO ${observed}
SELECT
    department, business_date, ${breakdown}, _cumulative, _increment, _correction,
    position, row_number, NULL
FROM _stated;

INSERT INTO ${observed}
SELECT
    department, business_date, ${breakdown}, _cumulative, _increment, _correction,
    NULL, NULL, incoming.position
FROM (SELECT department, business_date, part, ${columns} FROM ${table}) AS source_row
INNER JOIN _incoming AS incoming USING (department, business_date, part)
SEMI JOIN _stated USING (${key})
WHERE NOT incoming.is_late AND source_row._cumulative IS NOT NULL;

-- Grain: one row per total in force that is the nearest, before or after, to one that is stated.
CREATE OR REPLACE TEMP TABLE _neighbour AS
SELECT
    business_date AS for_day, false AS is_after, ${key}, business_date, _cumulative, _increment,
    _correction
FROM _stated
WHERE false;

CREATE OR REPLACE TEMP MACRO _nearest(_from, _to) AS TABLE
WITH sides AS (
    SELECT DISTINCT business_date AS for_day, side.is_after, ${key}
    FROM _stated
    CROSS JOIN (VALUES (false), (true)) AS side (is_after)
),

sought AS (
    SELECT * FROM sides
    ANTI JOIN _neighbour USING (for_day, is_after, ${key})
)

SELECT
    near_day.for_day, near_day.is_after, ${key}, business_date, source_row._cumulative,
    source_row._increment, source_row._correction
FROM (
    SELECT department, business_date, part, ${columns}
    FROM ${table}
    -- Bounds that DuckDB compares with the ranges of whole blocks: other days are never read.
    WHERE business_date BETWEEN
        (SELECT min(business_date) FROM _near_day WHERE distance BETWEEN _from AND _to)
        AND (SELECT max(business_date) FROM _near_day WHERE distance BETWEEN _from AND _to)
) AS source_row
INNER JOIN _near_day AS near_day USING (department, business_date, part)
INNER JOIN sought USING (for_day, is_after, ${key})
WHERE near_day.distance BETWEEN _from AND _to AND source_row._cumulative IS NOT NULL
QUALIFY near_day.distance = min(near_day.distance) OVER (PARTITION BY for_day, is_after, ${key});

-- Most neighbours are on the nearest day; only for the others the file reads farther days.
INSERT INTO _neighbour FROM _nearest(1, 1);

INSERT INTO _neighbour FROM _nearest(2, CAST($days AS BIGINT));

INSERT INTO ${observed}
SELECT DISTINCT
    department, business_date, ${breakdown}, _cumulative, _increment, _correction,
    NULL, NULL, NULL
FROM _neighbour
