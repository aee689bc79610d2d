-- Grain: one row per source, department and business date: the rows in force
-- Reads: partition_in_force, department
-- Writes: marts.department_day
CREATE VIEW marts.department_day AS
SELECT
    delivery_partition.source,
    delivery_partition.department,
    any_value(department.short_name) AS department_name,
    delivery_partition.business_date,
    sum(delivery_partition.rows) AS rows,
    count(*) AS parts,
    max(delivery_partition.received_at) AS received_at
FROM partition_in_force AS delivery_partition
LEFT JOIN department ON delivery_partition.department = department.code
GROUP BY
    delivery_partition.source, delivery_partition.department, delivery_partition.business_date;

COMMENT ON VIEW marts.department_day IS '各单位各业务日期的现行数据';
COMMENT ON COLUMN marts.department_day.source IS '数据源';
COMMENT ON COLUMN marts.department_day.department IS '单位代码';
COMMENT ON COLUMN marts.department_day.department_name IS '单位简称';
COMMENT ON COLUMN marts.department_day.business_date IS '业务日期';
COMMENT ON COLUMN marts.department_day.rows IS '现行行数';
COMMENT ON COLUMN marts.department_day.parts IS '分包数';
COMMENT ON COLUMN marts.department_day.received_at IS '最近到达时间（UTC）';
