-- Grain: one row per metric, department, business date and breakdown, as known now
-- Reads: metric_daily, department
-- Writes: marts.metric_current
CREATE VIEW marts.metric_current AS
SELECT
    metric_daily.metric,
    metric_daily.department,
    department.short_name AS department_name,
    metric_daily.business_date,
    metric_daily.breakdown,
    metric_daily.value,
    metric_daily.numerator,
    metric_daily.denominator
FROM metric_daily
LEFT JOIN department ON metric_daily.department = department.code
WHERE metric_daily.known_until IS NULL;

COMMENT ON VIEW marts.metric_current IS '指标日值（现行所知）';
COMMENT ON COLUMN marts.metric_current.metric IS '指标';
COMMENT ON COLUMN marts.metric_current.department IS '单位代码';
COMMENT ON COLUMN marts.metric_current.department_name IS '单位简称';
COMMENT ON COLUMN marts.metric_current.business_date IS '业务日期';
COMMENT ON COLUMN marts.metric_current.breakdown IS '细分取值；空串为合计';
COMMENT ON COLUMN marts.metric_current.value IS '指标值';
COMMENT ON COLUMN marts.metric_current.numerator IS '比率的分子';
COMMENT ON COLUMN marts.metric_current.denominator IS '比率的分母';
