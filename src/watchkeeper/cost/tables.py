"""Why calls have no cost, and what costs were before they were reckoned again."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


def _count(default: Any = ...) -> Any:
    return Field(default=default, sa_type=sa.BigInteger)


class UnpricedCall(SQLModel, table=True):
    """A call that was looked up and has no cost; what of it was looked at, so that a change is seen."""

    __tablename__ = "unpriced_calls"
    __table_args__ = {"sqlite_with_rowid": False}

    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    reason: str
    detail: str
    looked_in: str  # PriceList.version
    provider: str | None = None
    model: str | None = None
    tokens_input: int | None = _count(None)
    tokens_output: int | None = _count(None)
    looked_at: datetime


class PriceChange(SQLModel, table=True):
    """A cost that was reckoned again: the figure before, the figure after."""

    __tablename__ = "price_changes"

    id: int | None = Field(default=None, primary_key=True)
    trace_id: str = Field(index=True)
    span_id: str
    old_cost_nano_usd: int = _count()
    old_price_id: str
    new_cost_nano_usd: int = _count()
    new_price_id: str
    why: str
    changed_at: datetime
