"""What is remembered of budgets and of streams of latencies between two checks."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString as Text
from sqlmodel.sql.sqltypes import UTCDateTime as Time

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    op.create_table(
        "budget_states",
        sa.Column("name", Text(), nullable=False),
        sa.Column("checked_at", Time(), nullable=False),
        sa.Column("period_starts", Time()),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.Column("held", sa.JSON(), nullable=False),
        sa.Column("spent_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("unpriced", sa.Integer(), nullable=False),
        sa.Column("verdict", Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_budget_states"),
    )
    op.create_table(
        "latency_states",
        sa.Column("key", Text(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_latency_states"),
    )
    op.create_table(
        "latency_checks",
        sa.Column("name", Text(), nullable=False),
        sa.Column("checked_at", Time(), nullable=False),
        sa.Column("streams", sa.Integer(), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("slow", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_latency_checks"),
    )


def downgrade() -> None:
    op.drop_table("latency_checks")
    op.drop_table("latency_states")
    op.drop_table("budget_states")
