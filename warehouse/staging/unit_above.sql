-- grain: one row per sheet and column of units that the raw rows fill: the last unit they say
INSERT OR REPLACE INTO unit_above
SELECT _delivery, sheet, ${column}, arg_max(normalise_text(${unit}), row_number)
FROM raw
WHERE _fault IS NULL AND NOT ${ignored} AND normalise_text(${unit}) IS NOT NULL
GROUP BY _delivery, sheet
