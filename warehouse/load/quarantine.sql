-- grain: one row per row kept out by a judgement
INSERT INTO quarantine BY NAME
SELECT
    judged.position, judged.source, kept_out.*
FROM read_parquet('${quarantined}') AS kept_out
INNER JOIN judged USING (delivery_id);

INSERT INTO quarantine BY NAME
SELECT
    judged.position, clash.delivery_id, judged.source, clash.department, clash.business_date,
    clash.sheet, clash.row_number, clash.row_text,
    [struct_pack(
        code := 'key_conflict', "column" := '', value := NULL, expected := '${key}'
    )] AS reasons
FROM clash
INNER JOIN judged USING (delivery_id)
WHERE NOT clash.is_copy
