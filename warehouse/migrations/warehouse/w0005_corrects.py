"""Record which deliveries a returned feedback workbook corrects."""

from alembic import op

revision = "w0005"
down_revision = "w0004"
branch_labels = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE delivery ADD COLUMN corrects "
        "STRUCT(delivery_id VARCHAR, sha256 VARCHAR, format VARCHAR, scope VARCHAR)[]"
    )
    op.execute(
        "COMMENT ON COLUMN delivery.corrects IS "
        "'反馈回传所更正的报送：自完整文件起，至其直接更正者止；整份报送为空'"
    )
