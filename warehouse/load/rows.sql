-- grain: one row per accepted row; a delivery is the whole truth for its partition
DELETE FROM ${table}
USING replaced
WHERE
    ${table}.business_date = replaced.business_date
    AND ${table}.department = replaced.department
    AND ${table}.part = replaced.part;

INSERT INTO ${table} BY NAME
SELECT fresh.*
FROM read_parquet('${accepted}') AS fresh
INNER JOIN incoming USING (delivery_id, department, business_date)
LEFT JOIN clash USING (delivery_id, sheet, row_number)
WHERE NOT incoming.is_late AND clash.delivery_id IS NULL
