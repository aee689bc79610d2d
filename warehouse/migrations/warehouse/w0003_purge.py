"""Record which archived bytes were deleted: of which delivery, when, by whom, why."""

from alembic import op

revision = "w0003"
down_revision = "w0002"
branch_labels = None

COLUMNS = {
    "purged_at": ("TIMESTAMP NOT NULL", "清除时间（UTC）"),
    "delivery_id": ("VARCHAR NOT NULL", "报送编号，见 delivery"),
    "sha256": ("VARCHAR NOT NULL", "原始文件的 SHA-256"),
    "reason": ("VARCHAR NOT NULL", "理由"),
    "purged_by": ("VARCHAR NOT NULL", "清除人"),
}


def upgrade() -> None:
    body = ", ".join(f"{name} {declared}" for name, (declared, _) in COLUMNS.items())
    op.execute(f"CREATE TABLE purge ({body})")
    op.execute(
        "COMMENT ON TABLE purge IS '原件清除记录：归档中已删除的原始文件；再次收到的仍会归档'"
    )
    for name, (_, chinese) in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN purge.{name} IS '{chinese}'")
