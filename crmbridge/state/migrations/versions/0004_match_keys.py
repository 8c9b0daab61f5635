"""Twins are found by parts of their keys, without looking through all records that have no partner."""

import sqlalchemy as sa
from alembic import op

from crmbridge.state.schema import Id

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Empty: the next cycle fills it, since nothing says by which mapping it was made."""
    op.create_table(
        "match_key",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("part", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.PrimaryKeyConstraint("side", "entity", "part", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("match_key_record", "match_key", ["side", "entity", "id"])
