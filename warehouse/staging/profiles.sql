-- Grain: one row per delivery that has good rows: empty cells by column, values by category
-- Reads: chunk.staged, chunk.fate
SELECT staged._delivery, [${nulls}] AS nulls, [${values}] AS "values"
FROM chunk.staged AS staged
INNER JOIN chunk.fate AS fate USING (_id)
WHERE fate.fate = 'good'
GROUP BY staged._delivery
