-- grain: one row per raw row that cannot be mapped to columns; coordinates only, no content
INSERT INTO faulted
SELECT _id, _delivery, sheet, row_number, fault, ${fault_value}, fault_expected
FROM raw
WHERE fault IS NOT NULL AND NOT ${ignored}
