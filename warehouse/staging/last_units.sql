-- Grain: one row per sheet of which the raw rows state units in one column: the last such unit
-- Reads: raw_rows
-- Writes: chunk.last_unit
INSERT OR REPLACE INTO chunk.last_unit
SELECT _delivery, sheet, $name, arg_max(normalise_text(${unit}), row_number)
FROM raw_rows
WHERE _fault IS NULL AND NOT ${ignored} AND normalise_text(${unit}) IS NOT NULL
GROUP BY _delivery, sheet
