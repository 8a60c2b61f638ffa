"""Sums over requests and calls since a time: one pass over each, their texts untouched."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.observability import tables
from watchkeeper.observability.request import Tokens
from watchkeeper.observability.totals import BOUNDARIES_S, CallGroup, RequestGroup

_META = tables.Request.metadata.tables
_REQUESTS, _CALLS = _META["requests"], _META["calls"]
_BUCKETS = tuple(Tokens.__dataclass_fields__)


def request_groups(session: Session, since: datetime) -> list[RequestGroup]:
    """The requests that started since then, by route, error and buckets of their durations."""
    c = _REQUESTS.c
    latency, ttft = _bucket(c.latency_ms), _bucket(c.ttft_ms)
    sums = (sa.func.count(), sa.func.sum(c.latency_ms), sa.func.sum(c.ttft_ms))
    query = sa.select(c.route, c.error_type, latency, ttft, *sums).where(c.started_at >= since)
    return [
        RequestGroup(
            route=route,
            error_type=error,
            latency_bucket=of_latency,
            ttft_bucket=of_ttft,
            requests=count,
            latency_ms=latency_ms,
            ttft_ms=ttft_ms,
        )
        for route, error, of_latency, of_ttft, count, latency_ms, ttft_ms in session.execute(
            query.group_by(c.route, c.error_type, sa.literal_column("3"), sa.literal_column("4"))
        )
    ]


def call_groups(session: Session, since: datetime) -> list[CallGroup]:
    """The calls of the requests that started since then, by route, model and error."""
    r, c = _REQUESTS.c, _CALLS.c
    model = sa.func.coalesce(c.model_served, c.model_requested)
    unpriced = sa.and_(c.cost_nano_usd.is_(None), c.error_type.is_(None))
    query = (
        sa.select(
            r.route,
            model,
            c.error_type,
            sa.func.count(),
            sa.func.sum(c.cost_nano_usd),
            sa.func.sum(sa.case((unpriced, 1), else_=0)),
            *(sa.func.sum(c[f"tokens_{name}"]) for name in _BUCKETS),
        )
        .select_from(_REQUESTS.join(_CALLS, sa.and_(c.trace_id == r.trace_id, c.request_span_id == r.span_id)))
        .where(r.started_at >= since)
        .group_by(r.route, sa.literal_column("2"), c.error_type)
    )
    return [
        CallGroup(
            route=route,
            model=named,
            error_type=error,
            calls=count,
            tokens={name: int(n) for name, n in zip(_BUCKETS, tokens, strict=True) if n is not None},
            cost_nano_usd=None if cost is None else int(cost),
            unpriced=int(without),
        )
        for route, named, error, count, cost, without, *tokens in session.execute(query)
    ]


def _bucket(duration_ms: sa.Column[Any]) -> sa.ColumnElement[int | None]:
    """The place of the first boundary that is not below the duration; NULL stays NULL."""
    ends = ((duration_ms <= end * 1000, place) for place, end in enumerate(BOUNDARIES_S))
    return sa.case((duration_ms.is_(None), None), *ends, else_=len(BOUNDARIES_S))
