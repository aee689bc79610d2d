-- grain: one row per accepted row of the deliveries that load
COPY (
    SELECT
        staged._department AS department,
        staged._business_date AS business_date,
        landed.part,
        landed.delivery_id,
        staged._sheet AS sheet,
        staged._row AS row_number,
        ${columns}
    FROM staged
    INNER JOIN sorted USING (_id)
    INNER JOIN landed ON staged._delivery = landed._delivery
    INNER JOIN loads ON staged._delivery = loads._delivery
    WHERE sorted.fate = 'good' AND loads.loads
) TO '${path}' (FORMAT parquet, COMPRESSION zstd)
