-- Grain: one row per accepted row of the deliveries that load
-- Reads: chunk.staged, chunk.fate, chunk.landed
-- Writes: accepted.parquet
COPY (
    SELECT
        staged._department AS department,
        staged._business_date AS business_date,
        landed.part,
        landed.delivery_id,
        staged._sheet AS sheet,
        staged._row AS row_number,
        ${columns}
    FROM chunk.staged AS staged
    INNER JOIN chunk.fate AS fate USING (_id)
    INNER JOIN chunk.landed AS landed ON staged._delivery = landed._delivery
    WHERE
        fate.fate = 'good'
        AND staged._delivery IN (SELECT unnest(CAST($loading AS INTEGER[])))
) TO $path (FORMAT parquet, COMPRESSION zstd)
