"""Record what each delivery looked like, to compare later deliveries with it."""

from alembic import op

revision = "w0004"
down_revision = "w0003"
branch_labels = None

COLUMNS = {
    "position": ("BIGINT NOT NULL", "判定的台账序号"),
    "delivery_id": ("VARCHAR NOT NULL", "报送编号，见 delivery"),
    "source": ("VARCHAR NOT NULL", "数据源"),
    "department": ("VARCHAR", "报送单位代码；空表示由文件内容决定"),
    "business_date": ("DATE", "业务日期；空表示由文件内容决定"),
    "part": ("VARCHAR NOT NULL", "分包名；整包为空串"),
    "received_at": ("TIMESTAMP NOT NULL", "到达时间（UTC）"),
    "rows": ("BIGINT NOT NULL", "数据行数：合格的与隔离的"),
    "good_rows": ("BIGINT NOT NULL", "合格行数"),
    "columns": ("VARCHAR[] NOT NULL", "文件中有的约定列"),
    "extra_columns": ("VARCHAR[] NOT NULL", "文件中约定之外的列名"),
    "nulls": ("MAP(VARCHAR, BIGINT) NOT NULL", "合格行中各列的空值数"),
    "categories": ("MAP(VARCHAR, VARCHAR[]) NOT NULL", "合格行中各分类列出现过的取值"),
}


def upgrade() -> None:
    body = ", ".join(f'"{name}" {declared}' for name, (declared, _) in COLUMNS.items())
    op.execute(f"CREATE TABLE profile ({body})")
    op.execute("COMMENT ON TABLE profile IS '报送画像：每行是一次判定时文件的样貌，供与历史比较'")
    for name, (_, chinese) in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN profile.\"{name}\" IS '{chinese}'")
