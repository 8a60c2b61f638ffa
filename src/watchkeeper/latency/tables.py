"""What is remembered of streams of latencies."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


class LatencyState(SQLModel, table=True):
    """One stream, change or route as the last check left it; `key` as latency.check names it."""

    __tablename__ = "latency_states"

    key: str = Field(primary_key=True)
    state: dict[str, Any] = Field(sa_type=sa.JSON)


class LatencyCheck(SQLModel, table=True):
    """The last check: one row, `name` is "latency"."""

    __tablename__ = "latency_checks"

    name: str = Field(primary_key=True)
    checked_at: datetime
    streams: int
    compared: int
    slow: int
