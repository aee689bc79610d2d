"""Record how old a partition's rows are: a return's rows are as old as the file it corrects.

The table is created anew. DuckDB does not commit a transaction that alters a table after changing
its rows, and the upgrade from the first version is one transaction, which has changed them.
"""

from alembic import op

revision = "w0006"
down_revision = "w0005"
branch_labels = None

COLUMNS = {
    "position": ("BIGINT NOT NULL", "提供该分区的台账序号"),
    "delivery_id": ("VARCHAR NOT NULL", "报送编号"),
    "source": ("VARCHAR NOT NULL", "数据源"),
    "department": ("VARCHAR NOT NULL", "单位代码"),
    "business_date": ("DATE NOT NULL", "业务日期"),
    "part": ("VARCHAR NOT NULL", "分包名；整包为空串"),
    "rows": ("BIGINT NOT NULL", "现行行数"),
    "received_at": ("TIMESTAMP NOT NULL", "到达时间（UTC）"),
    "sent_at": (
        "TIMESTAMP NOT NULL",
        "数据的到达时间（UTC）；反馈回传的数据，以其所更正文件的到达时间为准",
    ),
    "known_from": ("BIGINT NOT NULL", "自该台账序号起有效"),
    "known_until": ("BIGINT", "至该台账序号止；空表示现行"),
    "first_received_at": (
        "TIMESTAMP",
        "该分区各版本中最早的到达时间（UTC）；整包与分包并存时，先到者有效",
    ),
    "is_standby": ("BOOLEAN DEFAULT false", "候补：同日整包与分包并存，暂不生效"),
}
IN_FORCE = [
    name for name in COLUMNS if name not in ("known_until", "first_received_at", "is_standby")
]

ROWS = """
INSERT INTO renewed BY NAME
SELECT old.*, coalesce(mended.sent_at, old.received_at) AS sent_at
FROM delivery_partition AS old
LEFT JOIN (
    SELECT given_back.delivery_id, given_back.received_at, max(original.received_at) AS sent_at
    FROM delivery AS given_back
    INNER JOIN delivery AS original
        ON
            given_back.corrects[1].delivery_id = original.delivery_id
            AND original.received_at < given_back.received_at
    WHERE NOT list_has_any(
        given_back.warnings ->> '$[*].code', ['outdated_return', 'withdrawn_return']
    )
    GROUP BY ALL
) AS mended
    ON old.delivery_id = mended.delivery_id AND old.received_at = mended.received_at
"""


def upgrade() -> None:
    body = ", ".join(f"{name} {declared}" for name, (declared, _) in COLUMNS.items())
    op.execute(f"CREATE TABLE renewed ({body})")
    op.execute(ROWS)
    op.execute("DROP VIEW partition_in_force")
    op.execute("DROP TABLE delivery_partition")
    op.execute("ALTER TABLE renewed RENAME TO delivery_partition")
    op.execute(
        f"CREATE VIEW partition_in_force AS SELECT {', '.join(IN_FORCE)} "
        "FROM delivery_partition WHERE known_until IS NULL AND NOT is_standby"
    )
    op.execute(
        "COMMENT ON TABLE delivery_partition IS '分区台账：数据源各分区由哪次报送提供，何时起止'"
    )
    op.execute("COMMENT ON VIEW partition_in_force IS '现行分区：各分区现由哪次报送提供'")
    for name, (_, chinese) in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN delivery_partition.{name} IS '{chinese}'")
        if name in IN_FORCE:
            op.execute(f"COMMENT ON COLUMN partition_in_force.{name} IS '{chinese}'")
