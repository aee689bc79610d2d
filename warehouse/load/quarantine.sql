-- grain: one row per row kept out by a judgement
INSERT INTO quarantine BY NAME
SELECT
    judged.position, judged.source, kept_out.*
FROM read_parquet('${quarantined}') AS kept_out
INNER JOIN judged USING (delivery_id)
WHERE judged.cause <> 'sibling'
