-- grain: one row per accepted row of the wave
INSERT INTO ${table} BY NAME
SELECT fresh.*
FROM read_parquet('${accepted}') AS fresh
INNER JOIN incoming USING (delivery_id, department, business_date)
WHERE NOT incoming.is_late
