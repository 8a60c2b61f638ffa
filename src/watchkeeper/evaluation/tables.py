"""What judges have said."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


class JudgementRow(SQLModel, table=True):
    """One vote on one rendered item, so that nobody pays for it twice. Missing ones are never here.

    `judge_version` and `input_hash` are 64 hex digits, without "sha256:".
    """

    __tablename__ = "judgements"

    judge_version: str = Field(primary_key=True)
    input_hash: str = Field(primary_key=True)
    vote: int = Field(primary_key=True)
    value: float
    explanation: str
    model_served: str | None = None
    cost_nano_usd: int | None = Field(default=None, sa_type=sa.BigInteger)
    unpriced: int
    judged_at: datetime
