-- grain: one row per row kept out by a judgement on a shared day
-- a delivery judged anew because of its siblings keeps what it had of its own
INSERT INTO quarantine BY NAME
SELECT quarantine.* REPLACE (judged.position AS position)
FROM quarantine
INNER JOIN sibling ON quarantine.delivery_id = sibling.delivery_id
    AND quarantine.position = sibling.former_position
INNER JOIN judged ON judged.position = sibling.position
WHERE quarantine.reasons[1].code <> 'part_key_conflict';

INSERT INTO quarantine BY NAME
SELECT
    judged.position, there.delivery_id, judged.source, there.department, there.business_date,
    there.sheet, there.row_number,
    CAST(to_json(struct_pack(${content})) AS VARCHAR) AS row_text,
    [struct_pack(
        code := 'part_key_conflict', "column" := '', value := NULL, expected := '${key}'
    )] AS reasons
FROM ${standby} AS there
INNER JOIN judged USING (delivery_id)
WHERE there.why = 'conflict'
