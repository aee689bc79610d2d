"""Keep rows that another part of their day displaces on standby, until the day allows them.

Rows that an earlier version has quarantined because another part had their key stay in quarantine
until their day is sent again or their source rebuilt.
"""

from alembic import op

revision = "w0002"
down_revision = "w0001"
branch_labels = None

COLUMNS = {
    "position": "台账序号",
    "delivery_id": "报送编号",
    "source": "数据源",
    "department": "单位代码",
    "business_date": "业务日期",
    "part": "分包名；整包为空串",
    "rows": "现行行数",
    "received_at": "到达时间（UTC）",
    "known_from": "自该台账序号起有效",
}

# first_received_at is that of versions that follow each other without a gap, as a withdrawal leaves
# one.
FIRST_RECEIVED = """
UPDATE delivery_partition SET first_received_at = version.first_received_at
FROM (
    SELECT row, min(received_at) OVER (PARTITION BY slot, follow) AS first_received_at
    FROM (
        SELECT *, sum(is_first) OVER (PARTITION BY slot ORDER BY nth) AS follow
        FROM (
            SELECT *, CAST(coalesce(max(upto) OVER (
                PARTITION BY slot ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) < known_from, true) AS INTEGER) AS is_first
            FROM (
                SELECT
                    rowid AS row, received_at, known_from,
                    coalesce(known_until, 9223372036854775807) AS upto,
                    (source, department, business_date, part) AS slot,
                    row_number() OVER (PARTITION BY slot ORDER BY known_from, upto) AS nth
                FROM delivery_partition
            )
        )
    )
) AS version
WHERE delivery_partition.rowid = version.row
"""


def upgrade() -> None:
    op.execute("ALTER TABLE delivery_partition ADD COLUMN first_received_at TIMESTAMP")
    op.execute("ALTER TABLE delivery_partition ADD COLUMN is_standby BOOLEAN DEFAULT false")
    op.execute(FIRST_RECEIVED)
    op.execute(
        "COMMENT ON COLUMN delivery_partition.first_received_at IS "
        "'该分区各版本中最早的到达时间（UTC）；整包与分包并存时，先到者有效'"
    )
    op.execute(
        "COMMENT ON COLUMN delivery_partition.is_standby IS '候补：同日整包与分包并存，暂不生效'"
    )
    op.execute(
        "CREATE VIEW partition_in_force AS SELECT position, delivery_id, source, department, "
        "business_date, part, rows, received_at, known_from FROM delivery_partition "
        "WHERE known_until IS NULL AND NOT is_standby"
    )
    op.execute("COMMENT ON VIEW partition_in_force IS '现行分区：各分区现由哪次报送提供'")
    for column, comment in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN partition_in_force.{column} IS '{comment}'")
    op.execute("CREATE SCHEMA standby")
    op.execute(
        "COMMENT ON COLUMN delivery.cause IS "
        "'判定原因：landing 新到、sibling 同日分包变动、rebuild 重建、accept 人工接收'"
    )
