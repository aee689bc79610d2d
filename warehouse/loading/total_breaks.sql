-- Grain: one row per delivery of the wave and code: how many of its totals do not follow from the
--     one before, the first of them, and the departments and days that they are of.
-- Reads: ${observed} (totals.sql), _due_day (from Python)
--
-- cumulative(day) = cumulative(the day before) + increment(day) + correction(day). The code
-- total_gap_next says that the total after it, which is in force, does not follow from it.
WITH days AS (
    SELECT
        department, breakdown, business_date,
        -- A total that starts anew has a history in each of its periods.
        CAST(date_trunc(CAST($period AS VARCHAR), business_date) AS DATE) AS period,
        min(cumulative) AS cumulative, min(increment) AS increment, min(correction) AS correction,
        bool_and(position IS NULL) AS is_standing,
        -- Parts that contradict each other state nothing.
        min(cumulative) = max(cumulative) AS is_certain
    FROM ${observed}
    WHERE replaced_by IS NULL
    GROUP BY department, breakdown, business_date
),

histories AS (
    SELECT
        department, breakdown, business_date,
        coalesce(
            lag(CASE WHEN is_certain THEN
                struct_pack(day := business_date, cumulative := cumulative, is_start := false)
            END IGNORE NULLS) OVER history,
            CASE WHEN period IS NOT NULL THEN
                struct_pack(day := period - 1, cumulative := 0, is_start := true)
            END
        ) AS before,
        lead(CASE WHEN is_certain THEN
            struct_pack(
                day := business_date, cumulative := cumulative, increment := increment,
                correction := correction, is_standing := is_standing
            )
        END IGNORE NULLS) OVER history AS after
    FROM days
    WINDOW history AS (PARTITION BY department, breakdown, period ORDER BY business_date)
),

stated AS (
    SELECT observed.*, histories.before, histories.after
    FROM ${observed} AS observed
    INNER JOIN histories USING (department, breakdown, business_date)
    WHERE observed.position IS NOT NULL
),

pairs AS (
    SELECT
        position, row_number, department, business_date, breakdown, false AS is_next,
        before.is_start, before.day AS earlier_day, before.cumulative AS earlier,
        business_date AS day, cumulative, increment, correction
    FROM stated
    WHERE before IS NOT NULL
    UNION ALL
    SELECT
        position, row_number, department, business_date, breakdown, true AS is_next,
        false AS is_start, business_date AS earlier_day, cumulative AS earlier,
        after.day, after.cumulative, after.increment, after.correction
    FROM stated
    WHERE after.is_standing
),

expected AS (
    SELECT
        pairs.*, due_day.due_before, CAST($tolerance AS DECIMAL(28, 6)) AS tolerance,
        earlier + coalesce(increment, 0) + coalesce(correction, 0) AS wanted,
        -- A day on which the source was due and silent is not a day without increment: the total
        -- is held to the figure only if there is no such day in between.
        increment IS NOT NULL
        AND (earlier_day = due_before OR (earlier_day = day - 1 AND NOT is_start)) AS is_exact,
        cumulative = increment AND cumulative <> 0 AND earlier <> 0 AS is_increment,
        CASE
            WHEN increment < 0 THEN NULL
            -- Silent days may have corrected the total, and the increment of a day may include
            -- days before it that were not due.
            WHEN $has_correction OR earlier_day > due_before
                THEN earlier + least(coalesce(correction, 0), 0)
            ELSE wanted
        END AS lowest,
        CASE
            WHEN earlier_day > due_before AND increment >= 0 AND coalesce(correction, 0) = 0
                THEN wanted
        END AS highest
    FROM pairs
    INNER JOIN _due_day AS due_day USING (day)
),

bounded AS (
    SELECT
        *,
        coalesce(cumulative > highest + tolerance, false) AS is_above,
        coalesce(cumulative < lowest - tolerance, false) AS is_below
    FROM expected
),

breaks AS (
    SELECT
        * REPLACE (
            CASE WHEN is_exact OR is_above OR is_increment THEN wanted ELSE lowest END AS wanted
        ),
        CASE
            WHEN is_next THEN 'total_gap_next'
            WHEN is_increment THEN 'total_as_increment'
            WHEN
                (is_exact OR is_above) AND abs(wanted) > tolerance
                AND abs(cumulative - (wanted + wanted)) <= tolerance
                THEN 'doubled_total'
            WHEN is_start THEN 'total_start'
            WHEN cumulative < earlier + least(coalesce(correction, 0), 0) - tolerance
                THEN 'fallen_total'
            ELSE 'total_gap'
        END AS code
    FROM bounded
    WHERE
        abs(cumulative - wanted) > tolerance
        AND (is_exact OR is_above OR is_below OR coalesce(is_increment, false))
),

sentences AS (
    SELECT
        position, code, row_number, department, business_date,
        nullif(replace(breakdown, chr(31), ' / '), '') AS name,
        -- A total that starts anew does so from 0 on the first day of its period.
        earlier_day + CAST(is_start AS INTEGER) || ': ' || _figure(earlier)
        || ' → ' || day || ': ' || _figure(cumulative)
        || coalesce(' (+ ' || _figure(increment) || ')', '')
        || CASE WHEN correction <> 0 THEN ' (± ' || _figure(correction) || ')' ELSE '' END
        AS figures,
        CASE WHEN is_exact THEN '' WHEN cumulative > wanted THEN '≤ ' ELSE '≥ ' END
        || _figure(wanted) AS wanted,
        _figure(cumulative - wanted) AS difference
    FROM breaks
)

SELECT
    position, code, count(*) AS rows, min(row_number) AS first_row,
    arg_min(concat_ws(', ', left(name, 100), figures || ' [Δ ' || difference || ']'), row_number)
        AS value,
    arg_min(wanted, row_number) AS expected,
    list(DISTINCT struct_pack(department := department, business_date := business_date)) AS days
FROM sentences
GROUP BY position, code
ORDER BY position, code
