"""Create the table of steps: how long each step of a run took, and how much it processed."""

import sqlalchemy as sa
from alembic import op

revision = "o0002"
down_revision = "o0001"
branch_labels = None


def upgrade() -> None:
    op.create_table(
        "step",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(32), nullable=False, index=True),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("source", sa.String(63), nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("deliveries", sa.Integer),
        sa.Column("rows", sa.BigInteger),
        sa.Column("error", sa.String(255)),
    )
