"""Sources: how far each was read, and what it calls the requests that came from it."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString as Text
from sqlmodel.sql.sqltypes import UTCDateTime as Time

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.create_table(
        "remote_requests",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("source", Text(), nullable=False),
        sa.Column("remote_trace_id", Text(), nullable=False),
        sa.Column("remote_id", Text(), nullable=False),
        sa.Column("url", Text()),
        sa.PrimaryKeyConstraint("trace_id", "span_id", "source", name="pk_remote_requests"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "watermarks",
        sa.Column("source", Text(), nullable=False),
        sa.Column("pulled_until", Time()),
        sa.Column("pulled_at", Time()),
        sa.Column("failed_at", Time()),
        sa.Column("failing_since", Time()),
        sa.Column("error", Text()),
        sa.Column("owner", Text()),
        sa.Column("seen_at", Time()),
        sa.PrimaryKeyConstraint("source", name="pk_watermarks"),
    )


def downgrade() -> None:
    op.drop_table("watermarks")
    op.drop_table("remote_requests")
