"""After a lost answer, which of two edits is the later one is told by the CRMs' own clocks."""

import sqlalchemy as sa
from alembic import op

from crmbridge.state.schema import Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Empty in what was sent before: there our own clock is asked, as it was."""
    with op.batch_alter_table("intent") as intent:
        intent.add_column(sa.Column("source_at", Instant()))
