"""Requests and what happened inside them; texts are kept once, by content.

Children name their request by (trace_id, request_span_id) and keep their place in it as `place`.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from watchkeeper.database import columns  # noqa: F401  constraint names
from watchkeeper.observability.packing import pack_values, read_value


def _count() -> Any:
    return Field(default=None, sa_type=sa.BigInteger)


class _Packed(sa.types.TypeDecorator[Any]):
    """JSON that nobody searches, compressed."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Any) -> bytes:
        return pack_values([value])[0]

    def process_result_value(self, value: bytes | None, _dialect: Any) -> Any:
        return None if value is None else read_value(value)


_CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}
"""SQLite keeps the rows in the order of the primary key, and no second tree beside them."""


class Text(SQLModel, table=True):
    """A text that records point at: a prompt sent a million times is stored once."""

    __tablename__ = "texts"

    hash: str = Field(primary_key=True)  # packing.text_key
    content: bytes = Field(sa_type=sa.LargeBinary)  # packing.pack_texts


class Trace(SQLModel, table=True):
    """The spans of a trace that came so far, in our words, for when another one comes."""

    __tablename__ = "traces"
    __table_args__ = _CLUSTERED

    trace_id: str = Field(primary_key=True)
    spans: bytes = Field(sa_type=sa.LargeBinary)  # packing.pack_values


class IntakeCount(SQLModel, table=True):
    """How often something was dropped, mended or refused on a day; `name` as in docs/records.md."""

    __tablename__ = "intake_counts"
    __table_args__ = _CLUSTERED

    day: str = Field(primary_key=True)  # of UTC, 2026-11-24
    name: str = Field(primary_key=True)
    count: int = Field(sa_type=sa.BigInteger)


class Request(SQLModel, table=True):
    """One call of the application by a user, with the totals over its calls.

    Tokens are disjoint buckets. `unpriced` counts calls without a cost; `retrieval_missed` is NULL
    when nothing was searched.
    """

    __tablename__ = "requests"
    __table_args__ = (
        # One index for all searches by time, the route beside it: another by route would cost every span a page.
        sa.Index("ix_requests_started_at_route", "started_at", "route"),
    )

    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    started_at: datetime
    route: str
    source: str | None = None
    segment: str | None = None
    session_id: str | None = Field(default=None, index=True)
    job_id: str | None = Field(default=None, index=True)
    environment: str | None = None
    release: str | None = None
    prompt_id: str | None = None
    prompt_version: str | None = None
    experiment: str | None = None
    variant: str | None = None
    input_hash: str | None = None
    response_hash: str | None = None
    error_type: str | None = None
    ttft_ms: float | None = None
    latency_ms: float | None = None
    calls: int
    unpriced: int
    tokens_input: int | None = _count()
    tokens_output: int | None = _count()
    tokens_cache_read: int | None = _count()
    tokens_cache_write: int | None = _count()
    tokens_reasoning: int | None = _count()
    cost_nano_usd: int | None = _count()
    retrieval_missed: bool | None = None
    attributes: dict[str, Any] = Field(sa_type=sa.JSON)


class Call(SQLModel, table=True):
    """One inference. `message_hashes` point at texts that hold one message each, as JSON."""

    __tablename__ = "calls"
    __table_args__ = _CLUSTERED

    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    request_span_id: str
    place: int
    provider: str | None = None
    model_requested: str | None = None
    model_served: str | None = None
    system_fingerprint: str | None = None
    params: dict[str, Any] = Field(sa_type=sa.JSON)
    message_hashes: list[str] = Field(sa_type=sa.JSON)
    response_hash: str | None = None
    finish_reason: str | None = None
    tokens_input: int | None = _count()
    tokens_output: int | None = _count()
    tokens_cache_read: int | None = _count()
    tokens_cache_write: int | None = _count()
    tokens_reasoning: int | None = _count()
    ttft_ms: float | None = None
    latency_ms: float | None = None
    error_type: str | None = None
    cost_nano_usd: int | None = _count()
    price_id: str | None = None  # the price the cost was reckoned with; NULL when the record gave the cost
    flags: list[str] = Field(sa_type=sa.JSON)
    more: dict[str, Any] = Field(sa_type=_Packed)


class Retrieval(SQLModel, table=True):
    """One search for context; `documents` in rank order, each with its id and score."""

    __tablename__ = "retrievals"
    __table_args__ = _CLUSTERED

    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    request_span_id: str
    place: int
    documents: list[dict[str, Any]] = Field(sa_type=sa.JSON)
    more: dict[str, Any] = Field(sa_type=sa.JSON)


class ToolCall(SQLModel, table=True):
    """One use of a tool. `arguments` and what `result_hash` points at are JSON text."""

    __tablename__ = "tool_calls"
    __table_args__ = _CLUSTERED

    trace_id: str = Field(primary_key=True)
    span_id: str = Field(primary_key=True)
    request_span_id: str
    place: int
    name: str | None = None
    arguments: str | None = Field(default=None, sa_type=sa.Text)
    result_hash: str | None = None
    error_type: str | None = None
    more: dict[str, Any] = Field(sa_type=sa.JSON)


class Feedback(SQLModel, table=True):
    """What the user thought; `value` is JSON text."""

    __tablename__ = "feedback"
    __table_args__ = _CLUSTERED

    trace_id: str = Field(primary_key=True)
    request_span_id: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    kind: str
    value: str | None = None
    comment: str | None = None
    at: datetime | None = None
    more: dict[str, Any] = Field(sa_type=sa.JSON)


class PostedFeedback(SQLModel, table=True):
    """Feedback that came by itself, perhaps before its request; `id` is its content's hash, so a repetition is one."""

    __tablename__ = "posted_feedback"

    id: str = Field(primary_key=True)
    trace_id: str = Field(index=True)
    kind: str
    value: str | None = None
    comment: str | None = None
    at: datetime | None = None
    received_at: datetime


class TouchedHour(SQLModel, table=True):
    """How often the requests that started in an hour were written, changed or deleted."""

    __tablename__ = "touched_hours"

    hour: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})  # request.hour_of
    version: int = Field(sa_type=sa.BigInteger)


class Resolution(SQLModel, table=True):
    """Whether a job was resolved; of several words about a job the latest `at` counts."""

    __tablename__ = "resolutions"

    job_id: str = Field(primary_key=True)
    resolved: bool
    at: datetime
