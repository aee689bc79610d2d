-- grain: one row per current partition that the wave replaces
CREATE OR REPLACE TEMP TABLE replaced AS
SELECT current.source, current.department, current.business_date, current.part,
    current.delivery_id, incoming.position
FROM incoming
INNER JOIN delivery_partition AS current
    ON
        incoming.source = current.source
        AND incoming.department = current.department
        AND incoming.business_date = current.business_date
        AND incoming.part = current.part
        AND current.known_until IS NULL
WHERE NOT incoming.is_late
UNION ALL
-- a return is its whole file, mended: what that, or another return of it, put elsewhere goes
SELECT current.source, current.department, current.business_date, current.part,
    current.delivery_id, mended.position
FROM mended
INNER JOIN delivery_partition AS current
    ON list_contains(mended.laid_upon, current.delivery_id) AND current.known_until IS NULL
LEFT JOIN incoming
    ON
        mended.position = incoming.position
        AND current.department = incoming.department
        AND current.business_date = incoming.business_date
WHERE incoming.position IS NULL
