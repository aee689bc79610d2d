-- Grain: one row per metric, department, day and breakdown, for as long as the value was known.
-- Reads: _computed, _touched, metric_daily
-- Writes: metric_daily, _known, _outdated
--
-- Knowledge is appended: a value that no longer holds is closed, a new one is added, and the rest
-- stays, so that what was known at any position of the ledger can be asked for.
CREATE OR REPLACE TEMP TABLE _known AS
SELECT metric_daily.*, touched.position
FROM metric_daily
INNER JOIN _touched AS touched USING (department, business_date)
WHERE
    metric_daily.known_until IS NULL
    AND list_contains($metrics, metric_daily.metric)
    -- Bounds that DuckDB compares with the ranges of whole blocks: other years are never read.
    AND metric_daily.business_date
    BETWEEN (SELECT min(business_date) FROM _touched) AND (SELECT max(business_date) FROM _touched);

CREATE OR REPLACE TEMP TABLE _outdated AS
SELECT known.*
FROM _known AS known
LEFT JOIN _computed AS computed USING (metric, department, business_date, breakdown)
WHERE
    computed.metric IS NULL
    OR computed.value IS DISTINCT FROM known.value
    OR computed.numerator IS DISTINCT FROM known.numerator
    OR computed.denominator IS DISTINCT FROM known.denominator;

UPDATE metric_daily
SET known_until = outdated.position
FROM _outdated AS outdated
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
FROM _computed AS computed
INNER JOIN _touched AS touched USING (department, business_date)
LEFT JOIN _known AS known USING (metric, department, business_date, breakdown)
LEFT JOIN _outdated AS outdated USING (metric, department, business_date, breakdown)
WHERE known.metric IS NULL OR outdated.metric IS NOT NULL
