-- grain: one row per delivery that has good rows: empty cells by column, values by category
SELECT staged._delivery, [${nulls}] AS nulls, [${values}] AS "values"
FROM staged
INNER JOIN sorted USING (_id)
WHERE sorted.fate = 'good'
GROUP BY staged._delivery
