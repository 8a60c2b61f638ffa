"""The sample, its scores, and what is known of the traffic they stand for."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


class ScoringState(SQLModel, table=True):
    """One row, `name` is "live": the key of the permanent numbers, who runs now, and when runs ended well.

    `began` is when sampling began: nothing before it is sampled unless somebody asks for it.
    """

    __tablename__ = "scoring_states"

    name: str = Field(primary_key=True)
    salt: str
    began: datetime
    owner: str | None = None
    seen_at: datetime | None = None
    ran_at: datetime | None = None


class SampledHour(SQLModel, table=True):
    """An hour of a route; `population` holds [segment, prompt, model, stratum, requests], `rates` one a quarter."""

    __tablename__ = "sampled_hours"
    __table_args__ = {"sqlite_with_rowid": False}

    hour: int = Field(primary_key=True)  # request.hour_of
    route: str = Field(primary_key=True)
    version: int = Field(sa_type=sa.BigInteger)
    seen: int
    eligible: int
    unsettled: int
    rates: list[Any] = Field(sa_type=sa.JSON)
    population: list[Any] = Field(sa_type=sa.JSON)


class SamplingDay(SQLModel, table=True):
    """What was usual on the seven days before a day (UTC), route by route."""

    __tablename__ = "sampling_days"

    day: str = Field(primary_key=True)
    usual: dict[str, Any] = Field(sa_type=sa.JSON)


class FirstSeen(SQLModel, table=True):
    """When a prompt version, a model or a release first stood in a route; the route itself has the value ""."""

    __tablename__ = "first_seen"
    __table_args__ = {"sqlite_with_rowid": False}

    route: str = Field(primary_key=True)
    dimension: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    at: datetime


class Sample(SQLModel, table=True):
    """A request that was chosen; stratum and inclusion only rise. Its labels stay when the record is pruned."""

    __tablename__ = "samples"
    __table_args__ = (sa.Index("ix_samples_started_at_route", "started_at", "route"),)

    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    started_at: datetime
    route: str
    segment: str | None = None
    prompt: str | None = None
    model: str | None = None
    stratum: str
    inclusion: float
    u: float
    chosen_at: datetime


class Score(SQLModel, table=True):
    """What one version of one scorer said of a sampled request; `value` NULL is missing, then `missing` says why."""

    __tablename__ = "scores"

    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    scorer: str = Field(primary_key=True)
    scorer_version: str = Field(primary_key=True)
    value: float | None = None
    label: str | None = None
    explanation: str | None = Field(default=None, sa_type=sa.Text)
    missing: str | None = None
    inclusion: float
    stratum: str
    judge_model: str | None = None
    cost_nano_usd: int | None = Field(default=None, sa_type=sa.BigInteger)
    cached: bool
    attempts: int
    scored_at: datetime = Field(index=True)
