-- grain: one row per delivery and partition that its good rows fill
SELECT staged._delivery, staged._department, staged._business_date, count(*) AS rows
FROM staged
INNER JOIN sorted USING (_id)
WHERE sorted.fate = 'good'
GROUP BY ALL
ORDER BY ALL
