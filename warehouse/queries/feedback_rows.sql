-- Grain: one row per row to be mended of one judgement ($position)
-- Reads: marts.quarantine_current
SELECT department, business_date, coalesce(sheet, '') AS sheet, row_number, reasons
FROM marts.quarantine_current
WHERE position = $position
ORDER BY sheet, row_number
