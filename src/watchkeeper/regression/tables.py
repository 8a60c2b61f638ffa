"""What a regression check leaves in the store."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names


class SuiteRun(SQLModel, table=True):
    """One suite run against one target: every case, `repeats` times.

    `identity` is equal for runs that would ask the same questions in the same way; a run may be
    resumed or reused only under its identity.
    """

    __tablename__ = "suite_runs"

    id: str = Field(primary_key=True)
    identity: str = Field(index=True)
    suite: str
    suite_version: str
    provider: str
    model: str
    prompt: str | None = None
    params: dict[str, Any] = Field(sa_type=sa.JSON)
    planned: int
    status: str  # running | complete | incomplete
    owner: str | None = None  # host:pid of the process that is filling it
    seen_at: datetime  # the owner's last sign of life
    started_at: datetime
    finished_at: datetime | None = None


class Attempt(SQLModel, table=True):
    """One answer, or one absence of an answer, of one case in one run."""

    __tablename__ = "attempts"

    run_id: str = Field(primary_key=True, foreign_key="suite_runs.id")
    case_id: str = Field(primary_key=True)
    repeat: int = Field(primary_key=True)
    response: str | None = None
    error_type: str | None = None
    error: str | None = None
    model_served: str | None = None
    system_fingerprint: str | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    tokens_input: int | None = None
    tokens_output: int | None = None
    tokens_cache_read: int | None = None
    tokens_cache_write: int | None = None
    tokens_reasoning: int | None = None
    cost_nano_usd: int | None = Field(default=None, sa_type=sa.BigInteger)
    ttft_ms: float | None = None
    latency_ms: float | None = None
    tries: int
    finished_at: datetime


class Verdict(SQLModel, table=True):
    """One decision, with the whole document it was printed as."""

    __tablename__ = "verdicts"

    id: str = Field(primary_key=True)
    kind: str  # check | upgrade
    baseline: str
    candidate: str
    verdict: str
    document: dict[str, Any] = Field(sa_type=sa.JSON)
    override_by: str | None = None
    override_why: str | None = None
    decided_at: datetime


class VerdictRun(SQLModel, table=True):
    """Which runs a verdict compared; a candidate's run is spent once it was judged."""

    __tablename__ = "verdict_runs"

    verdict_id: str = Field(primary_key=True, foreign_key="verdicts.id")
    run_id: str = Field(primary_key=True, foreign_key="suite_runs.id")
    side: str = Field(primary_key=True)  # baseline | candidate
