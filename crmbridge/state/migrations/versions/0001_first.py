"""The first schema."""

import sqlalchemy as sa
from alembic import op

from crmbridge.state.schema import Id, Instant, Serial

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversion",
        sa.Column("lead_link", Id, nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("case", sa.Text(), nullable=False),
        sa.Column("from_side", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("lead_link", "epoch"),
    )
    op.create_table(
        "cursor",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("comparing", sa.Integer()),
        sa.Column("saved_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("side", "source"),
    )
    op.create_table(
        "intent",
        sa.Column("id", Id, nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("link_id", sa.Text()),
        sa.Column("native_id", sa.Text()),
        sa.Column("source_id", sa.Text()),
        sa.Column("key", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("pre_version", sa.Text()),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("sent_at", Instant(), nullable=False),
        sa.Column("closed_at", Instant()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "intent_open",
        "intent",
        ["sent_at"],
        unique=False,
        sqlite_where=sa.text("state = 'sent'"),
        postgresql_where=sa.text("state = 'sent'"),
    )
    op.create_table(
        "issue",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("link_id", sa.Text()),
        sa.Column("side", sa.Text()),
        sa.Column("native_id", sa.Text()),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("fix", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", Instant()),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("released_by", sa.Text()),
        sa.Column("released_why", sa.Text()),
        sa.Column("closed_at", Instant()),
        sa.Column("closed_by", sa.Text()),
        sa.Column("closed_why", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "issue_open",
        "issue",
        ["subject", "entity", "cause", "field"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index("issue_link", "issue", ["link_id"], unique=False)
    op.create_index("issue_native", "issue", ["native_id"], unique=False)
    op.create_table(
        "journal",
        sa.Column("number", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("link_id", sa.Text()),
        sa.Column("native_id", sa.Text()),
        sa.Column("source_id", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("journal_id", "journal", ["id"], unique=True)
    op.create_index("journal_link", "journal", ["link_id"], unique=False)
    op.create_index("journal_native", "journal", ["native_id"], unique=False)
    op.create_index("journal_run", "journal", ["run_id"], unique=False)
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("born", sa.Text(), nullable=False),
        sa.Column("since", Instant()),
        sa.Column("until", Instant()),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "link",
        sa.Column("id", Id, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("left_id", Id),
        sa.Column("right_id", Id),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text()),
        sa.Column("alive", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("last_open", sa.Text(), nullable=False),
        sa.Column("fillers", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "link_left",
        "link",
        ["entity", "left_id"],
        unique=True,
        sqlite_where=sa.text("left_id IS NOT NULL"),
        postgresql_where=sa.text("left_id IS NOT NULL"),
    )
    op.create_index(
        "link_right",
        "link",
        ["entity", "right_id"],
        unique=True,
        sqlite_where=sa.text("right_id IS NOT NULL"),
        postgresql_where=sa.text("right_id IS NOT NULL"),
    )
    op.create_index(
        "link_unsteady",
        "link",
        ["entity", "id"],
        unique=False,
        sqlite_where=sa.text("alive IS 1 AND mode != 'steady'"),
        postgresql_where=sa.text("alive IS true AND mode != 'steady'"),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "plan",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("first_run", sa.Boolean(), nullable=False),
        sa.Column("approved_at", Instant()),
        sa.Column("approved_by", sa.Text()),
        sa.Column("why", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "record",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("created_at", Instant()),
        sa.Column("modified_at", Instant()),
        sa.Column("modified_by", sa.Text()),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("merged_into", sa.Text()),
        sa.Column("key", sa.Text()),
        sa.Column("body", sa.Text()),
        sa.Column("extras", sa.Text()),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("touched", sa.Boolean(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("side", "entity", "id"),
    )
    op.create_index(
        "record_dirty",
        "record",
        ["entity", "side", "id"],
        unique=False,
        sqlite_where=sa.text("dirty IS 1"),
        postgresql_where=sa.text("dirty IS true"),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started_at", Instant(), nullable=False),
        sa.Column("ended_at", Instant()),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("calls", sa.Text(), nullable=False),
        sa.Column("lease", sa.Text()),
        sa.Column("fence", sa.Integer()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "satellite",
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("parent_id", Id, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("side", "kind", "id"),
    )
    op.create_index("satellite_parent", "satellite", ["side", "entity", "parent_id"], unique=False)
