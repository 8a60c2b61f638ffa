"""What judges have said, by the version of the judge and what it was sent."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString as Text
from sqlmodel.sql.sqltypes import UTCDateTime as Time

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    op.create_table(
        "judgements",
        sa.Column("judge_version", Text(), nullable=False),
        sa.Column("input_hash", Text(), nullable=False),
        sa.Column("vote", sa.Integer(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("explanation", Text(), nullable=False),
        sa.Column("model_served", Text()),
        sa.Column("cost_nano_usd", sa.BigInteger()),
        sa.Column("unpriced", sa.Integer(), nullable=False),
        sa.Column("judged_at", Time(), nullable=False),
        sa.PrimaryKeyConstraint("judge_version", "input_hash", "vote", name="pk_judgements"),
    )


def downgrade() -> None:
    op.drop_table("judgements")
