-- grain: one row per row kept out by the latest judgement of its delivery
CREATE VIEW marts.quarantine_current AS
WITH latest AS (
    SELECT
        delivery_id,
        arg_max(position, (received_at, position)) AS position,
        arg_max(file_name, (received_at, position)) AS file_name
    FROM delivery
    WHERE verdict <> 'unchanged'
    GROUP BY delivery_id
)

SELECT
    quarantine.delivery_id,
    quarantine.source,
    quarantine.department,
    department.short_name AS department_name,
    quarantine.business_date,
    latest.file_name,
    quarantine.sheet,
    quarantine.row_number,
    quarantine.row_text,
    quarantine.reasons
FROM quarantine
INNER JOIN latest USING (delivery_id, position)
LEFT JOIN department ON quarantine.department = department.code;

COMMENT ON VIEW marts.quarantine_current IS '现行隔离行及理由（个人信息已脱敏）';
COMMENT ON COLUMN marts.quarantine_current.delivery_id IS '报送编号';
COMMENT ON COLUMN marts.quarantine_current.source IS '数据源';
COMMENT ON COLUMN marts.quarantine_current.department IS '单位代码';
COMMENT ON COLUMN marts.quarantine_current.department_name IS '单位简称';
COMMENT ON COLUMN marts.quarantine_current.business_date IS '业务日期';
COMMENT ON COLUMN marts.quarantine_current.file_name IS '文件名';
COMMENT ON COLUMN marts.quarantine_current.sheet IS '工作表';
COMMENT ON COLUMN marts.quarantine_current.row_number IS '文件中的行号';
COMMENT ON COLUMN marts.quarantine_current.row_text IS '该行内容（脱敏）';
COMMENT ON COLUMN marts.quarantine_current.reasons IS '隔离理由';
