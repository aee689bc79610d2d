-- Grain: one row per quarantined row that a department should still mend
-- Reads: delivery, delivery_partition, partition_in_force, quarantine, decision, department
-- Writes: marts.quarantine_current
-- Those are the rows of a slot's newest delivery that was read row by row, without days that a
-- newer delivery provides. Of files of many days, the newest that has the row's day counts.
CREATE VIEW marts.quarantine_current AS
WITH receipts AS (
    SELECT *, min(position) OVER (PARTITION BY delivery_id, received_at) AS first_position
    FROM delivery
    WHERE verdict <> 'unchanged'
    QUALIFY row_number() OVER (PARTITION BY delivery_id, received_at ORDER BY position DESC) = 1
),

-- Bytes that came again, unchanged, were received again.
arrivals AS (
    SELECT delivery_id, max(received_at) AS received_at
    FROM delivery
    GROUP BY delivery_id
),

-- A return's rows are as old as the file that it corrects, unless a person has accepted that it
-- replaces newer ones.
mended AS (
    SELECT receipts.position, max(original.received_at) AS sent_at
    FROM receipts
    INNER JOIN delivery AS original
        ON
            receipts.corrects[1].delivery_id = original.delivery_id
            AND receipts.received_at > original.received_at
    WHERE
        NOT list_has_any(
            receipts.warnings ->> '$[*].code', ['outdated_return', 'withdrawn_return']
        )
    GROUP BY receipts.position
),

dated AS (
    SELECT
        receipts.* REPLACE (arrivals.received_at AS received_at),
        coalesce(mended.sent_at, arrivals.received_at) AS sent_at
    FROM receipts
    INNER JOIN arrivals USING (delivery_id)
    LEFT JOIN mended ON receipts.position = mended.position
    WHERE
        NOT list_has_any(reasons ->> '$[*].code', ['outdated_return', 'withdrawn_return'])
),

-- Returns that would have been refused as outdated, had everything received before them been loaded
-- before them.
outdated AS (
    SELECT DISTINCT returned.position
    FROM dated AS returned
    INNER JOIN dated AS newer
        ON
            returned.source = newer.source
            AND returned.department IS NOT DISTINCT FROM newer.department
            AND returned.business_date = newer.business_date
            AND returned.part = newer.part
            AND returned.sent_at < newer.sent_at
            AND returned.received_at > newer.received_at
    WHERE newer.verdict IN ('accepted', 'accepted_with_quarantine')
),

readable AS (
    SELECT
        *,
        list_concat([delivery_id], list_transform(corrects, lambda origin: origin.delivery_id)) AS family,
        row_number() OVER (
            PARTITION BY source, department, business_date, part
            ORDER BY received_at DESC, delivery_id DESC, position DESC
        ) AS nth_of_slot,
        -- A family is a file and its returns.
        row_number() OVER (
            PARTITION BY
                source, department, business_date, part,
                coalesce(corrects[1].delivery_id, delivery_id)
            ORDER BY received_at DESC, delivery_id DESC, position DESC
        ) AS nth_of_family
    FROM dated
    ANTI JOIN outdated USING (position)
    WHERE verdict IN ('accepted', 'accepted_with_quarantine', 'held') OR quarantined > 0
),

newest AS (
    SELECT *
    FROM readable
    WHERE CASE WHEN business_date IS NULL THEN nth_of_family ELSE nth_of_slot END = 1
),

-- Business dates that files of many days provide or had quarantined.
of_days AS (
    SELECT DISTINCT
        readable.source, readable.department, readable.part, readable.sent_at, content.business_date
    FROM readable
    INNER JOIN (
        SELECT delivery_id, business_date FROM delivery_partition
        UNION
        SELECT delivery_id, business_date FROM quarantine
    ) AS content ON readable.delivery_id = content.delivery_id
    WHERE readable.business_date IS NULL AND readable.corrects IS NULL
),

to_mend AS (
    SELECT *
    FROM newest
    WHERE
        quarantined > 0
        AND NOT EXISTS (
            SELECT 1
            FROM decision
            WHERE
                decision.kind = 'withdraw' AND decision.delivery_id = newest.delivery_id
                AND decision.position > newest.first_position
        )
)

SELECT
    quarantine.position,
    quarantine.delivery_id,
    quarantine.source,
    quarantine.department,
    department.short_name AS department_name,
    quarantine.business_date,
    to_mend.file_name,
    quarantine.sheet,
    quarantine.row_number,
    quarantine.row_text,
    quarantine.reasons
FROM quarantine
INNER JOIN to_mend USING (delivery_id, position)
LEFT JOIN department ON quarantine.department = department.code
LEFT JOIN partition_in_force AS newer
    ON
        quarantine.source = newer.source
        AND quarantine.department = newer.department
        AND quarantine.business_date = newer.business_date
        AND to_mend.part = newer.part
        AND to_mend.sent_at < newer.sent_at
        AND NOT list_contains(to_mend.family, newer.delivery_id)
WHERE
    newer.delivery_id IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM of_days
        WHERE
            to_mend.business_date IS NULL
            AND of_days.source = to_mend.source
            AND of_days.department IS NOT DISTINCT FROM to_mend.department
            AND of_days.part = to_mend.part
            AND of_days.sent_at > to_mend.sent_at
            AND of_days.business_date = coalesce(quarantine.business_date, of_days.business_date)
    );

COMMENT ON VIEW marts.quarantine_current IS '待更正的隔离行及理由：各报送位置最新一次报送中的（个人信息已脱敏）';
COMMENT ON COLUMN marts.quarantine_current.position IS '台账序号';
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
