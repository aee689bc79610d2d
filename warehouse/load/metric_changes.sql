-- grain: one row per metric, department, day and breakdown, for as long as it was what we knew
-- knowledge is appended: what no longer holds is closed, what is new is added, the rest stays
CREATE OR REPLACE TEMP TABLE known AS
SELECT metric_daily.*, touched.position
FROM metric_daily
INNER JOIN touched USING (department, business_date)
WHERE
    metric_daily.known_until IS NULL
    AND metric_daily.metric IN (${metrics})
    AND metric_daily.business_date
    BETWEEN (SELECT min(business_date) FROM touched) AND (SELECT max(business_date) FROM touched);

CREATE OR REPLACE TEMP TABLE outdated AS
SELECT known.*
FROM known
LEFT JOIN computed USING (metric, department, business_date, breakdown)
WHERE
    computed.metric IS NULL
    OR computed.value IS DISTINCT FROM known.value
    OR computed.numerator IS DISTINCT FROM known.numerator
    OR computed.denominator IS DISTINCT FROM known.denominator;

UPDATE metric_daily
SET known_until = outdated.position
FROM outdated
WHERE
    metric_daily.known_until IS NULL
    AND metric_daily.metric = outdated.metric
    AND metric_daily.business_date = outdated.business_date
    AND metric_daily.department = outdated.department
    AND metric_daily.breakdown = outdated.breakdown;

INSERT INTO metric_daily BY NAME
SELECT
    computed.metric, computed.department, computed.business_date, computed.breakdown,
    computed.value, computed.numerator, computed.denominator, touched.position AS known_from
FROM computed
INNER JOIN touched USING (department, business_date)
LEFT JOIN known USING (metric, department, business_date, breakdown)
LEFT JOIN outdated USING (metric, department, business_date, breakdown)
WHERE known.metric IS NULL OR outdated.metric IS NOT NULL
