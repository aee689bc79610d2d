-- Grain: one row per quarantined row to mend, the newest business date first
-- Reads: marts.quarantine_current
-- A value of NULL leaves its filter out.
SELECT *
FROM marts.quarantine_current
WHERE
    ($source IS NULL OR source = $source)
    AND ($department IS NULL OR department = $department)
    AND ($first IS NULL OR business_date BETWEEN CAST($first AS DATE) AND CAST($last AS DATE))
ORDER BY business_date DESC, department, delivery_id, sheet, row_number
LIMIT $limit
