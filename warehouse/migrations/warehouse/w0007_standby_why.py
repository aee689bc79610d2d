"""The standby tables' own column begins with an underscore, as no declared column does."""

from alembic import op

revision = "w0007"
down_revision = "w0006"
branch_labels = None

TABLES = """
SELECT table_name FROM duckdb_columns()
WHERE
    schema_name = 'standby' AND database_name = current_database() AND column_name = 'why'
"""


def upgrade() -> None:
    for (table,) in op.get_bind().exec_driver_sql(TABLES).fetchall():
        op.execute(f'ALTER TABLE standby."{table}" RENAME COLUMN why TO _why')
