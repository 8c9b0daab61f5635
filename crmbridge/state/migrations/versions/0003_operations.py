"""What several workers and the people on call need: work that is handed out, limits, pauses, alarms."""

import sqlalchemy as sa
from alembic import op

from crmbridge.state.schema import Id, Instant, Serial

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _lanes()
    _retention()
    op.create_index("intent_native", "intent", ["native_id"])
    op.create_index("intent_key", "intent", ["key"])
    op.create_table(
        "turn",
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("quiet", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("entity"),
    )
    op.create_table(
        "pause",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("entity", sa.Text()),
        sa.Column("side", sa.Text()),
        sa.Column("reading", sa.Boolean(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("ended_at", Instant()),
        sa.Column("ended_by", sa.Text()),
        sa.Column("ended_why", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "alarm",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("told_at", Instant(), nullable=False),
        sa.Column("over_at", Instant()),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "alert_message",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "erasure",
        sa.Column("number", Serial, autoincrement=True, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "erased",
        sa.Column("mark", Id, nullable=False),
        sa.Column("erasure", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("mark"),
    )


def _retention() -> None:
    """What is deleted by age is found by it."""
    for table, column in (("intent", "closed_at"), ("issue", "closed_at"), ("plan", "approved_at")):
        there = sa.text(f"{column} IS NOT NULL")
        name = f"{table}_{column.removesuffix('_at')}"
        op.create_index(name, table, [column], sqlite_where=there, postgresql_where=there)
    op.create_index("plan_created", "plan", ["created_at"])
    op.create_index("run_started", "run", ["started_at"])
    still = sa.text("ended_at IS NULL")
    op.create_index("run_open", "run", ["lease"], sqlite_where=still, postgresql_where=still)


def _lanes() -> None:
    op.create_table(
        "work",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("link_id", Id, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("work_link", "work", ["link_id"], unique=True)
    due = sa.text("state = 'due'")
    op.create_index("work_due", "work", ["id"], sqlite_where=due, postgresql_where=due)
    with op.batch_alter_table("intent") as batch:
        batch.add_column(sa.Column("lease", sa.Text()))
    with op.batch_alter_table("run") as batch:
        batch.add_column(sa.Column("unwritten", sa.Text(), nullable=False, server_default="{}"))
    op.create_table(
        "budget",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("full_at", sa.BigInteger(), nullable=False),
        sa.Column("blocked_until", Instant()),
        sa.Column("blocked_why", sa.Text(), nullable=False),
        sa.Column("told_used", sa.Integer()),
        sa.Column("told_limit", sa.Integer()),
        sa.Column("told_at", Instant()),
        sa.Column("daily", sa.Integer()),
        sa.PrimaryKeyConstraint("connection"),
    )
    op.create_table(
        "usage",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("operations", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "day", "work"),
    )
    op.create_table(
        "breaker",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("troubles", sa.Integer(), nullable=False),
        sa.Column("logins", sa.Integer(), nullable=False),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.Column("until", Instant()),
        sa.Column("prober", sa.Text()),
        sa.Column("probing_until", Instant()),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection"),
    )
