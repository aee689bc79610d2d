-- grain: one row per total of the wave that does not follow from the one before it, or (is_next)
-- from which the one after it, in force, does not follow
CREATE OR REPLACE TEMP TABLE total_break AS
WITH days AS (
    SELECT
        entry, department, "by", business_date,
        min(cumulative) AS cumulative, min(increment) AS increment, min(correction) AS correction,
        bool_and(position IS NULL) AS is_standing,
        -- parts that contradict each other say nothing
        min(cumulative) = max(cumulative) AS is_certain
    FROM observed
    WHERE replaced_by IS NULL
    GROUP BY entry, department, "by", business_date
),

histories AS (
    SELECT
        entry, department, "by", business_date,
        lag(CASE WHEN is_certain THEN
            struct_pack(day := business_date, cumulative := cumulative)
        END IGNORE NULLS) OVER history AS before,
        lead(CASE WHEN is_certain THEN
            struct_pack(
                day := business_date, cumulative := cumulative, increment := increment,
                correction := correction, is_standing := is_standing
            )
        END IGNORE NULLS) OVER history AS after
    FROM days
    WINDOW history AS (PARTITION BY entry, department, "by" ORDER BY business_date)
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
        before.day AS earlier_day, before.cumulative AS earlier,
        business_date AS day, cumulative, increment, correction
    FROM told
    WHERE before IS NOT NULL
    UNION ALL
    SELECT
        entry, position, row_number, department, business_date, "by", true AS is_next,
        business_date AS earlier_day, cumulative AS earlier,
        after.day, after.cumulative, after.increment, after.correction
    FROM told
    WHERE after.is_standing
),

expected AS (
    SELECT
        pairs.*, total_entry.tolerance, total_entry.has_correction,
        earlier + coalesce(increment, 0) + coalesce(correction, 0) AS wanted,
        -- a silent day is not a day without increment
        day = earlier_day + 1 AND increment IS NOT NULL AS is_exact
    FROM pairs
    INNER JOIN total_entry USING (entry)
)

SELECT
    *,
    CASE
        WHEN is_next THEN 'total_gap_next'
        WHEN cumulative = increment AND cumulative <> 0 AND earlier <> 0 THEN 'total_as_increment'
        WHEN is_exact AND abs(wanted) > tolerance AND abs(cumulative - (wanted + wanted)) <= tolerance
            THEN 'doubled_total'
        WHEN cumulative < earlier + least(coalesce(correction, 0), 0) - tolerance
            THEN 'fallen_total'
        ELSE 'total_gap'
    END AS code
FROM expected
WHERE
    CASE
        WHEN is_exact THEN abs(cumulative - wanted) > tolerance
        -- what silent days corrected is unknown
        WHEN has_correction OR increment < 0 THEN false
        ELSE cumulative < wanted - tolerance
    END
