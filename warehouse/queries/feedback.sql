-- Grain: one row per delivery to be mended, its newest judgement
-- Reads: delivery, marts.quarantine_current
SELECT *
FROM delivery
SEMI JOIN marts.quarantine_current AS kept_out ON delivery.position = kept_out.position
ORDER BY source, business_date, department, part
