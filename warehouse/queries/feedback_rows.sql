-- grain: one row per row that a judgement kept out, but for days that something newer provides
SELECT
    quarantine.department, quarantine.business_date, coalesce(quarantine.sheet, '') AS sheet,
    quarantine.row_number, quarantine.reasons
FROM quarantine
INNER JOIN delivery USING (position)
LEFT JOIN partition_in_force AS newer
    ON
        quarantine.source = newer.source
        AND quarantine.department = newer.department
        AND quarantine.business_date = newer.business_date
        AND delivery.part = newer.part
        AND quarantine.delivery_id <> newer.delivery_id
        AND delivery.received_at < newer.received_at
WHERE quarantine.position = $position AND newer.delivery_id IS NULL
ORDER BY quarantine.sheet, quarantine.row_number
