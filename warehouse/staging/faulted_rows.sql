-- grain: one row per raw row that cannot be mapped to columns; coordinates only, no content
INSERT INTO faulted
SELECT _id, _delivery, sheet, row_number, _fault, ${fault_value}, _fault_expected
FROM raw
WHERE _fault IS NOT NULL AND NOT ${ignored}
