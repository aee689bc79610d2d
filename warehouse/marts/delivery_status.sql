-- Grain: one row per receipt of a delivery: its latest judgement, and how many rows are in force
-- Reads: delivery, partition_in_force, department
-- Writes: marts.delivery_status
CREATE VIEW marts.delivery_status AS
WITH latest AS (
    SELECT *
    FROM delivery
    QUALIFY
        row_number() OVER (PARTITION BY delivery_id, received_at ORDER BY position DESC) = 1
),

in_force AS (
    SELECT delivery_id, received_at, sum(rows) AS rows
    FROM partition_in_force
    GROUP BY delivery_id, received_at
)

SELECT
    latest.delivery_id,
    latest.source,
    latest.department,
    department.short_name AS department_name,
    latest.business_date,
    latest.part,
    latest.file_name,
    latest.received_at,
    latest.verdict,
    latest.rows_read,
    latest.accepted,
    latest.quarantined,
    latest.duplicates,
    latest.ignored,
    latest.withheld,
    in_force.rows AS rows_in_force,
    latest.reasons,
    latest.warnings,
    latest.superseded,
    coalesce(list_transform(latest.corrects, lambda origin: origin.delivery_id), []) AS corrects
FROM latest
LEFT JOIN in_force
    ON latest.delivery_id = in_force.delivery_id AND latest.received_at = in_force.received_at
LEFT JOIN department ON latest.department = department.code;

COMMENT ON VIEW marts.delivery_status IS '报送现状：每次报送的最新判定';
COMMENT ON COLUMN marts.delivery_status.delivery_id IS '报送编号';
COMMENT ON COLUMN marts.delivery_status.source IS '数据源';
COMMENT ON COLUMN marts.delivery_status.department IS '单位代码';
COMMENT ON COLUMN marts.delivery_status.department_name IS '单位简称';
COMMENT ON COLUMN marts.delivery_status.business_date IS '业务日期';
COMMENT ON COLUMN marts.delivery_status.part IS '分包名；整包为空串';
COMMENT ON COLUMN marts.delivery_status.file_name IS '文件名';
COMMENT ON COLUMN marts.delivery_status.received_at IS '到达时间（UTC）';
COMMENT ON COLUMN marts.delivery_status.verdict IS '判定';
COMMENT ON COLUMN marts.delivery_status.rows_read IS '读到的行数';
COMMENT ON COLUMN marts.delivery_status.accepted IS '接收的行数';
COMMENT ON COLUMN marts.delivery_status.quarantined IS '隔离的行数';
COMMENT ON COLUMN marts.delivery_status.duplicates IS '完全重复的行数';
COMMENT ON COLUMN marts.delivery_status.ignored IS '约定忽略的行数';
COMMENT ON COLUMN marts.delivery_status.withheld IS '扣留的合格行数';
COMMENT ON COLUMN marts.delivery_status.rows_in_force IS '现行数据中来自本次报送的行数；空表示已被取代或未加载';
COMMENT ON COLUMN marts.delivery_status.reasons IS '判定理由';
COMMENT ON COLUMN marts.delivery_status.warnings IS '提醒';
COMMENT ON COLUMN marts.delivery_status.superseded IS '被本次报送取代的报送编号';
COMMENT ON COLUMN marts.delivery_status.corrects IS
'本次回传所更正的报送编号，最早者在前；空表示完整报送';
