-- Grain: one row per target and department (null: the city), as of the newest run
-- Reads: pace, run, department
-- Writes: marts.target_pace
-- Columns and their comments follow from `Pace` in pipelines/tracking/pace.py; publishing adds them.
CREATE VIEW marts.target_pace AS
SELECT
    pace.target,
    pace.department,
    coalesce(department.short_name, '全市') AS department_name,
    ${columns}
FROM pace
LEFT JOIN department ON pace.department = department.code
WHERE pace.run_id = (SELECT arg_max(run_id, finished_at) FROM run);

COMMENT ON VIEW marts.target_pace IS '最近一次运行的目标进度';
COMMENT ON COLUMN marts.target_pace.department_name IS '单位简称';
