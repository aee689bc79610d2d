-- grain: one row per incoming row whose key stands in another part of its day
-- is_copy: it says the same as the row that is there, and is a duplicate
CREATE OR REPLACE TEMP TABLE clash AS
SELECT
    fresh.delivery_id, fresh.sheet, fresh.row_number, fresh.department, fresh.business_date,
    bool_and(
        to_json(struct_pack(${fresh_content})) = to_json(struct_pack(${there_content}))
    ) AS is_copy,
    any_value(CAST(to_json(struct_pack(${fresh_content})) AS VARCHAR)) AS row_text
FROM read_parquet('${accepted}') AS fresh
INNER JOIN incoming USING (delivery_id, department, business_date)
INNER JOIN ${table} AS there
    ON
        fresh.department = there.department
        AND fresh.business_date = there.business_date
        AND fresh.part <> there.part
        AND ${same_key}
WHERE NOT incoming.is_late
GROUP BY ALL
