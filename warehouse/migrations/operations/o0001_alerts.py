"""Create the tables of raised alerts and of sent digests."""

import sqlalchemy as sa
from alembic import op

revision = "o0001"
down_revision = None
branch_labels = ("operations",)


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("raised_at", sa.DateTime, nullable=False),
        sa.Column("source", sa.String(63)),
        sa.Column("department", sa.String(32)),
        sa.Column("target", sa.String(63)),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "notification",
        sa.Column("run_id", sa.String(32), primary_key=True),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("channels", sa.Integer, nullable=False),
        sa.Column("sent_at", sa.DateTime),
        sa.Column("error", sa.Text),
    )
