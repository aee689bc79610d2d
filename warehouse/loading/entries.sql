-- Grain: one row per judgement of a delivery; it is never changed.
-- Reads: _judged (from Python), _incoming, _replaced, _quarantined, partition_in_force
-- Writes: delivery, quarantine, _touched
INSERT INTO delivery BY NAME
SELECT
    judged.*,
    coalesce(
        (SELECT list(DISTINCT replaced.delivery_id ORDER BY replaced.delivery_id)
         FROM _replaced AS replaced
         WHERE replaced.position = judged.position AND replaced.delivery_id <> judged.delivery_id),
        []
    ) AS superseded
FROM _judged AS judged;

-- What staging kept out. The rows of siblings that are judged again were entered by the step of
-- shared days.
INSERT INTO quarantine BY NAME
SELECT judged.position, judged.source, quarantined.*
FROM _quarantined AS quarantined
INNER JOIN _judged AS judged USING (delivery_id)
WHERE judged.cause <> 'sibling';

-- Grain: one row per department and day of which the wave may have changed the metrics. A day is
-- heard of while a partition is in force, also one without rows: its flows are 0 then, not unknown.
CREATE OR REPLACE TEMP TABLE _touched AS
SELECT
    changed.department,
    changed.business_date,
    max(changed.position) AS position,
    count(provider.delivery_id) > 0 AS is_heard
FROM (
    SELECT source, department, business_date, position FROM _incoming
    UNION ALL
    SELECT source, department, business_date, position FROM _replaced
) AS changed
LEFT JOIN partition_in_force AS provider
    ON
        changed.source = provider.source
        AND changed.department = provider.department
        AND changed.business_date = provider.business_date
GROUP BY changed.department, changed.business_date
