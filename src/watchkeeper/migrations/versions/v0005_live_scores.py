"""Live answers: which are sampled, their scores, and the traffic they stand for."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString as Text
from sqlmodel.sql.sqltypes import UTCDateTime as Time

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    op.create_table(
        "scoring_states",
        sa.Column("name", Text(), nullable=False),
        sa.Column("salt", Text(), nullable=False),
        sa.Column("began", Time(), nullable=False),
        sa.Column("owner", Text()),
        sa.Column("seen_at", Time()),
        sa.Column("ran_at", Time()),
        sa.PrimaryKeyConstraint("name", name="pk_scoring_states"),
    )
    op.create_table(
        "sampled_hours",
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("route", Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("eligible", sa.Integer(), nullable=False),
        sa.Column("unsettled", sa.Integer(), nullable=False),
        sa.Column("rates", sa.JSON(), nullable=False),
        sa.Column("population", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "route", name="pk_sampled_hours"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sampling_days",
        sa.Column("day", Text(), nullable=False),
        sa.Column("usual", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_sampling_days"),
    )
    op.create_table(
        "first_seen",
        sa.Column("route", Text(), nullable=False),
        sa.Column("dimension", Text(), nullable=False),
        sa.Column("value", Text(), nullable=False),
        sa.Column("at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("route", "dimension", "value", name="pk_first_seen"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "samples",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("started_at", Time(), nullable=False),
        sa.Column("route", Text(), nullable=False),
        sa.Column("segment", Text()),
        sa.Column("prompt", Text()),
        sa.Column("model", Text()),
        sa.Column("stratum", Text(), nullable=False),
        sa.Column("inclusion", sa.Float(), nullable=False),
        sa.Column("u", sa.Float(), nullable=False),
        sa.Column("chosen_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "span_id", name="pk_samples"),
    )
    op.create_index("ix_samples_started_at_route", "samples", ["started_at", "route"])
    op.create_table(
        "scores",
        sa.Column("trace_id", Text(), nullable=False),
        sa.Column("span_id", Text(), nullable=False),
        sa.Column("scorer", Text(), nullable=False),
        sa.Column("scorer_version", Text(), nullable=False),
        sa.Column("value", sa.Float()),
        sa.Column("label", Text()),
        sa.Column("explanation", sa.Text()),
        sa.Column("missing", Text()),
        sa.Column("inclusion", sa.Float(), nullable=False),
        sa.Column("stratum", Text(), nullable=False),
        sa.Column("judge_model", Text()),
        sa.Column("cost_nano_usd", sa.BigInteger()),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("scored_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "span_id", "scorer", "scorer_version", name="pk_scores"),
    )
    op.create_index("ix_scores_scored_at", "scores", ["scored_at"])


def downgrade() -> None:
    op.drop_table("scores")
    op.drop_table("samples")
    op.drop_table("first_seen")
    op.drop_table("sampling_days")
    op.drop_table("sampled_hours")
    op.drop_table("scoring_states")
