-- grain: one row per total of the wave that does not follow from the one before it, or (is_next)
-- from which the one after it, in force, does not follow
CREATE OR REPLACE TEMP TABLE total_break AS
WITH days AS (
    SELECT
        entry, department, "by", business_date,
        -- one that starts anew has a history in each of its periods
        CAST(date_trunc(any_value(total_entry.period), business_date) AS DATE) AS period,
        min(cumulative) AS cumulative, min(increment) AS increment, min(correction) AS correction,
        bool_and(position IS NULL) AS is_standing,
        -- parts that contradict each other say nothing
        min(cumulative) = max(cumulative) AS is_certain
    FROM observed
    INNER JOIN total_entry USING (entry)
    WHERE replaced_by IS NULL
    GROUP BY entry, department, "by", business_date
),

histories AS (
    SELECT
        entry, department, "by", business_date,
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
    WINDOW history AS (PARTITION BY entry, department, "by", period ORDER BY business_date)
),

told AS (
    SELECT observed.*, histories.before, histories.after
    FROM observed
    INNER JOIN histories USING (entry, department, "by", business_date)
    WHERE observed.position IS NOT NULL
),

pairs AS (
    SELECT
        entry, position, row_number, department, business_date, "by", false AS is_next,
        before.is_start, before.day AS earlier_day, before.cumulative AS earlier,
        business_date AS day, cumulative, increment, correction
    FROM told
    WHERE before IS NOT NULL
    UNION ALL
    SELECT
        entry, position, row_number, department, business_date, "by", true AS is_next,
        false AS is_start, business_date AS earlier_day, cumulative AS earlier,
        after.day, after.cumulative, after.increment, after.correction
    FROM told
    WHERE after.is_standing
),

expected AS (
    SELECT
        pairs.*, due_day.due_before, total_entry.tolerance,
        earlier + coalesce(increment, 0) + coalesce(correction, 0) AS wanted,
        -- a day on which it was due and silent is not a day without increment
        increment IS NOT NULL
        AND (earlier_day = due_before OR (earlier_day = day - 1 AND NOT is_start)) AS is_exact,
        cumulative = increment AND cumulative <> 0 AND earlier <> 0 AS is_increment,
        CASE
            WHEN increment < 0 THEN NULL
            -- what silent days corrected is unknown, and what the increment says of days before
            WHEN has_correction OR earlier_day > due_before
                THEN earlier + least(coalesce(correction, 0), 0)
            ELSE wanted
        END AS lowest,
        CASE
            WHEN earlier_day > due_before AND increment >= 0 AND coalesce(correction, 0) = 0
                THEN wanted
        END AS highest
    FROM pairs
    INNER JOIN due_day USING (day)
    INNER JOIN total_entry USING (entry)
),

held_against AS (
    SELECT
        *,
        coalesce(cumulative > highest + tolerance, false) AS is_above,
        coalesce(cumulative < lowest - tolerance, false) AS is_below
    FROM expected
)

SELECT
    * REPLACE (CASE WHEN is_exact OR is_above OR is_increment THEN wanted ELSE lowest END AS wanted),
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
FROM held_against
WHERE
    abs(cumulative - wanted) > tolerance
    AND (is_exact OR is_above OR is_below OR coalesce(is_increment, false))
