-- Grain: one row per row kept out, with every reason; its text is what was sent, masked
-- Reads: chunk.staged, chunk.fate, chunk.landed, chunk.failure, chunk.rule, chunk.faulted
-- Writes: quarantined.parquet
COPY (
    WITH reasons AS (
        SELECT
            failure._id,
            list(struct_pack(
                code := rule.code,
                "column" := rule."column",
                value := failure.value,
                expected := rule.expected
            ) ORDER BY rule.rule) AS reasons
        FROM chunk.failure AS failure
        INNER JOIN chunk.rule AS rule USING (rule)
        WHERE rule.critical
        GROUP BY failure._id
    )

    SELECT
        landed.delivery_id,
        staged._department AS department,
        staged._business_date AS business_date,
        staged._sheet AS sheet,
        staged._row AS row_number,
        CAST(to_json(struct_pack(${texts})) AS VARCHAR) AS row_text,
        reasons.reasons
    FROM chunk.staged AS staged
    INNER JOIN chunk.fate AS fate USING (_id)
    INNER JOIN chunk.landed AS landed ON staged._delivery = landed._delivery
    INNER JOIN reasons ON staged._id = reasons._id
    WHERE fate.fate = 'quarantined'
    UNION ALL
    SELECT
        landed.delivery_id,
        landed.department,
        landed.business_date,
        faulted._sheet,
        faulted._row,
        NULL,
        [struct_pack(
            code := faulted.fault,
            "column" := '',
            value := faulted.fault_value,
            expected := faulted.expected
        )]
    FROM chunk.faulted AS faulted
    INNER JOIN chunk.landed AS landed USING (_delivery)
) TO $path (FORMAT parquet, COMPRESSION zstd)
