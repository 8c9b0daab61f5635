"""What several workers and the people on call need: work that is handed out, limits, pauses, alarms."""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
