-- grain: one row per day of the wave and partition in force that stays there, on a day near it
-- near: among the department's ${days} nearest days before, or after, on which anything is in force
CREATE OR REPLACE TEMP TABLE near_day AS
WITH came AS (
    SELECT DISTINCT department, business_date AS for_day
    FROM incoming
    WHERE NOT is_late
),

staying AS (
    SELECT there.department, there.business_date, there.part
    FROM partition_in_force AS there
    SEMI JOIN came USING (department)
    WHERE
        there.source = '${source}'
        AND NOT EXISTS (
            SELECT 1 FROM incoming
            WHERE
                NOT incoming.is_late
                AND incoming.department = there.department
                AND incoming.business_date = there.business_date
                AND incoming.part = there.part
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

SELECT * FROM ranked WHERE distance <= ${days};

-- every total that the wave may have to be held against, with what `prepare` has found of it
CREATE OR REPLACE TEMP TABLE observed (
    entry INTEGER, department VARCHAR, business_date DATE, "by" VARCHAR,
    cumulative DECIMAL(28, 6), increment DECIMAL(28, 6), correction DECIMAL(28, 6),
    position BIGINT, row_number BIGINT, replaced_by BIGINT
);

CREATE OR REPLACE TEMP MACRO figure(number) AS
    rtrim(rtrim(CAST(CAST(number AS DECIMAL(38, 6)) AS VARCHAR), '0'), '.')
