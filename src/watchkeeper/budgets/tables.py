"""What is remembered of every budget."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


class BudgetState(SQLModel, table=True):
    """One budget as its last check left it.

    `told` holds the thresholds told in the period that began at `period_starts` (NULL: a rolling one); `held` rule ->
    [since, last], ISO times.
    """

    __tablename__ = "budget_states"

    name: str = Field(primary_key=True)
    checked_at: datetime
    period_starts: datetime | None = None
    told: list[float] = Field(sa_type=sa.JSON)
    held: dict[str, Any] = Field(sa_type=sa.JSON)
    spent_nano_usd: int = Field(sa_type=sa.BigInteger)
    unpriced: int
    verdict: str  # stats.budget.Verdict
