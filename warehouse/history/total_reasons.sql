-- grain: one row per delivery, totals and code: how many rows, and the first of them
WITH told AS (
    SELECT
        position, entry, code, row_number,
        nullif(replace("by", chr(31), ' / '), '') AS name,
        -- what starts anew does so from 0 on its first day
        earlier_day + CAST(is_start AS INTEGER) || ': ' || figure(earlier) || ' → ' || day || ': ' || figure(cumulative)
        || coalesce(' (+ ' || figure(increment) || ')', '')
        || CASE WHEN correction <> 0 THEN ' (± ' || figure(correction) || ')' ELSE '' END AS figures,
        CASE WHEN is_exact THEN '' WHEN cumulative > wanted THEN '≤ ' ELSE '≥ ' END
        || figure(wanted) AS wanted,
        figure(cumulative - wanted) AS difference
    FROM total_break
)

SELECT
    position, entry, code, count(*) AS rows, min(row_number) AS first_row,
    arg_min(concat_ws(', ', left(name, 100), figures || ' [Δ ' || difference || ']'), row_number)
        AS value,
    arg_min(wanted, row_number) AS expected
FROM told
GROUP BY position, entry, code
ORDER BY position, entry, code
