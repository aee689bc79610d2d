-- grain: one row per target and department (empty: the city), as of the newest run
CREATE VIEW marts.target_pace AS
SELECT
    pace.target,
    pace.department,
    coalesce(department.short_name, '全市') AS department_name,
    pace.as_of,
    pace.goal,
    pace.actual,
    pace.expected,
    pace.progress,
    pace.spi_t,
    pace.sv_t,
    pace.required_per_day,
    pace.coverage,
    pace.status,
    pace.last_observed
FROM pace
LEFT JOIN department ON pace.department = department.code
WHERE pace.run_id = (SELECT arg_max(run_id, finished_at) FROM run);

COMMENT ON VIEW marts.target_pace IS '最近一次运行的目标进度';
COMMENT ON COLUMN marts.target_pace.target IS '目标';
COMMENT ON COLUMN marts.target_pace.department IS '单位代码；空为全市';
COMMENT ON COLUMN marts.target_pace.department_name IS '单位简称';
COMMENT ON COLUMN marts.target_pace.as_of IS '截止日';
COMMENT ON COLUMN marts.target_pace.goal IS '目标值';
COMMENT ON COLUMN marts.target_pace.actual IS '实际值';
COMMENT ON COLUMN marts.target_pace.expected IS '计划应达值';
COMMENT ON COLUMN marts.target_pace.progress IS '完成比例';
COMMENT ON COLUMN marts.target_pace.spi_t IS '时间进度绩效指数 SPI(t)';
COMMENT ON COLUMN marts.target_pace.sv_t IS '时间偏差（天），负为落后';
COMMENT ON COLUMN marts.target_pace.required_per_day IS '剩余每日需完成量';
COMMENT ON COLUMN marts.target_pace.coverage IS '应报单位中已报的比例';
COMMENT ON COLUMN marts.target_pace.status IS '状态';
COMMENT ON COLUMN marts.target_pace.last_observed IS '最近数据的业务日期';
