-- grain: one row per row kept out, with every reason; text is what was sent, masked
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
        FROM failure
        INNER JOIN rule USING (rule)
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
    FROM staged
    INNER JOIN sorted USING (_id)
    INNER JOIN landed ON staged._delivery = landed._delivery
    INNER JOIN reasons ON staged._id = reasons._id
    WHERE sorted.fate = 'quarantined'
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
    FROM faulted
    INNER JOIN landed USING (_delivery)
) TO '${path}' (FORMAT parquet, COMPRESSION zstd)
