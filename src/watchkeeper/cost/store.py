"""Costs of stored calls: read what has none, write what is known; the only file that queries them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.cost import tables
from watchkeeper.observability import tables as records  # noqa: F401  declares what is priced
from watchkeeper.observability.request import Tokens

_META = tables.UnpricedCall.metadata.tables
_UNPRICED, _CHANGES = _META["unpriced_calls"], _META["price_changes"]
_REQUESTS, _CALLS = _META["requests"], _META["calls"]
_PRICING_LOCK = 7_402_118_332
_MODEL = sa.func.coalesce(_CALLS.c.model_served, _CALLS.c.model_requested)

Place = tuple[datetime, str, str]
"""(started_at, trace id, span id) of a request: its place in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """What of a call its price depends on.

    Attributes:
        model: Served, or requested where the answer did not say.
        tier: The service tier that was asked for or served, None when nobody said.
    """

    trace_id: str
    span_id: str
    request_span_id: str
    started_at: datetime
    provider: str | None
    model: str | None
    tokens: Tokens
    tier: str | None
    flags: Sequence[str]
    cost_nano_usd: int | None
    price_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpricedGroup:
    """Calls of one model without a cost, for one reason; None is "not looked up yet".

    Attributes:
        failed: How many of them ended in an error; they rarely report tokens and rarely cost anything.
    """

    provider: str | None
    model: str | None
    reason: str | None
    detail: str | None
    calls: int
    failed: int


def one_pricing_at_a_time(session: Session) -> None:
    """Hold off other pricers until this transaction ends: a request's totals are over all its calls."""
    if _is_postgresql(session):
        session.execute(sa.text(f"SELECT pg_advisory_xact_lock({_PRICING_LOCK})"))


def request_page(
    session: Session,
    *,
    since: datetime | None,
    until: datetime | None,
    after: Place | None,
    limit: int,
    unpriced: bool,
) -> list[Place]:
    """The oldest requests of [since, until) after one place.

    Args:
        unpriced: Only those with a call that has no cost.
    """
    c = _REQUESTS.c
    query = sa.select(c.started_at, c.trace_id, c.span_id).where(c.calls > 0)
    if unpriced:
        query = query.where(c.unpriced > 0)
    if since is not None:
        query = query.where(c.started_at >= since)
    if until is not None:
        query = query.where(c.started_at < until)
    if after is not None:
        at, trace_id, span_id = after
        same_time = sa.or_(c.trace_id > trace_id, sa.and_(c.trace_id == trace_id, c.span_id > span_id))
        query = query.where(c.started_at >= at, sa.or_(c.started_at > at, sa.and_(c.started_at == at, same_time)))
    query = query.order_by(c.started_at, c.trace_id, c.span_id).limit(limit)
    return [(row[0], row[1], row[2]) for row in session.execute(query)]


def calls_to_price(session: Session, requests: Sequence[Place], version: str) -> list[StoredCall]:
    """The calls of these requests that have no cost and were not looked up in this version as they are now."""
    c, u = _CALLS.c, _UNPRICED.c
    stale = sa.or_(
        u.trace_id.is_(None),
        u.looked_in != version,
        u.provider.is_distinct_from(c.provider),
        u.model.is_distinct_from(_MODEL),
        u.tokens_input.is_distinct_from(c.tokens_input),
        u.tokens_output.is_distinct_from(c.tokens_output),
    )
    joined = _CALLS.outerjoin(_UNPRICED, sa.and_(u.trace_id == c.trace_id, u.span_id == c.span_id))
    return _calls(session, requests, sa.select(*_COLUMNS).select_from(joined).where(c.cost_nano_usd.is_(None), stale))


def priced_calls(session: Session, requests: Sequence[Place], *, to_change: bool) -> list[StoredCall]:
    """The calls of these requests whose cost we reckoned; a cost that a record gave is not ours to change."""
    query = sa.select(*_COLUMNS).where(_CALLS.c.price_id.is_not(None))
    return _calls(session, requests, query, to_change=to_change)


_COLUMNS = (
    _CALLS.c.trace_id, _CALLS.c.span_id, _CALLS.c.request_span_id, _CALLS.c.provider, _MODEL.label("model"),
    *(_CALLS.c[f"tokens_{name}"] for name in Tokens.__dataclass_fields__),
    _CALLS.c.params, _CALLS.c.more, _CALLS.c.flags, _CALLS.c.cost_nano_usd, _CALLS.c.price_id,
)  # fmt: skip


def _calls(
    session: Session, requests: Sequence[Place], query: sa.Select[Any], *, to_change: bool = True
) -> list[StoredCall]:
    if not requests:
        return []
    started = {(trace_id, span_id): at for at, trace_id, span_id in requests}
    query = query.where(_CALLS.c.trace_id.in_(sorted({trace_id for trace_id, _ in started})))
    query = query.order_by(_CALLS.c.trace_id, _CALLS.c.span_id)
    if to_change:
        # A writer that replaces these spans is not waited for: they are priced the next time.
        query = query.with_for_update(of=_CALLS, skip_locked=True)
    found = []
    for row in session.execute(query).mappings():
        at = started.get((row["trace_id"], row["request_span_id"]))
        if at is None:
            continue  # another request of the same trace
        found.append(
            StoredCall(
                **{name: row[name] for name in ("trace_id", "span_id", "request_span_id", "provider", "model")},
                started_at=at,
                tokens=Tokens(**{name: row[f"tokens_{name}"] for name in Tokens.__dataclass_fields__}),
                tier=_tier(row["more"]) or _tier(row["params"]),
                flags=row["flags"],
                cost_nano_usd=row["cost_nano_usd"],
                price_id=row["price_id"],
            )
        )
    return found


def _tier(values: Mapping[str, Any]) -> str | None:
    for name in ("service_tier", "usage.service_tier", "openai.response.service_tier"):
        if isinstance(found := values.get(name), str):
            return found
    return None


def set_costs(session: Session, costs: Sequence[tuple[StoredCall, int, str]]) -> None:
    """Write costs with the price they were reckoned with; what was unpriced is so no more."""
    if not costs:
        return
    of = [{"t": call.trace_id, "s": call.span_id, "cost": nano, "price": price} for call, nano, price in costs]
    c, u = _CALLS.c, _UNPRICED.c
    mine = (c.trace_id == sa.bindparam("t"), c.span_id == sa.bindparam("s"))
    session.connection().execute(
        sa.update(_CALLS)
        .where(*mine)
        .values(cost_nano_usd=sa.bindparam("cost"), price_id=sa.bindparam("price")),
        of,
    )  # fmt: skip
    gone = sa.delete(_UNPRICED).where(u.trace_id == sa.bindparam("t"), u.span_id == sa.bindparam("s"))
    session.connection().execute(gone, [{"t": each["t"], "s": each["s"]} for each in of])


def set_reasons(
    session: Session, reasons: Sequence[tuple[StoredCall, str, str]], *, version: str, now: datetime
) -> None:
    """Write why calls have no cost, in the place of what was said before."""
    if not reasons:
        return
    u = _UNPRICED.c
    gone = sa.delete(_UNPRICED).where(u.trace_id == sa.bindparam("t"), u.span_id == sa.bindparam("s"))
    session.connection().execute(gone, [{"t": call.trace_id, "s": call.span_id} for call, _, _ in reasons])
    session.connection().execute(
        sa.insert(_UNPRICED),
        [
            {
                "trace_id": call.trace_id,
                "span_id": call.span_id,
                "reason": reason,
                "detail": detail,
                "looked_in": version,
                "provider": call.provider,
                "model": call.model,
                "tokens_input": call.tokens.input,
                "tokens_output": call.tokens.output,
                "looked_at": now,
            }
            for call, reason, detail in reasons
        ],
    )


def add_changes(session: Session, changes: Sequence[tuple[StoredCall, int, str]], *, why: str, now: datetime) -> None:
    """Keep the figures that are about to be replaced."""
    if changes:
        session.connection().execute(
            sa.insert(_CHANGES),
            [
                {
                    "trace_id": call.trace_id,
                    "span_id": call.span_id,
                    "old_cost_nano_usd": call.cost_nano_usd,
                    "old_price_id": call.price_id,
                    "new_cost_nano_usd": nano,
                    "new_price_id": price,
                    "why": why,
                    "changed_at": now,
                }
                for call, nano, price in changes
            ],
        )


def refresh_totals(session: Session, calls: Sequence[StoredCall]) -> list[datetime]:
    """Add the requests of these calls up again; when they started."""
    keys = sorted({(call.trace_id, call.request_span_id) for call in calls})
    if not keys:
        return []
    c, r = _CALLS.c, _REQUESTS.c
    inside = (c.trace_id == r.trace_id, c.request_span_id == r.span_id)
    cost = sa.select(sa.cast(sa.func.sum(c.cost_nano_usd), sa.BigInteger)).where(*inside).scalar_subquery()
    missing = sa.select(sa.func.count()).select_from(_CALLS).where(*inside, c.cost_nano_usd.is_(None)).scalar_subquery()
    session.connection().execute(
        sa.update(_REQUESTS)
        .where(r.trace_id == sa.bindparam("t"), r.span_id == sa.bindparam("s"))
        .values(cost_nano_usd=cost, unpriced=missing),
        [{"t": trace_id, "s": span_id} for trace_id, span_id in keys],
    )
    # Read now: a writer may have moved a request to another hour since its calls were looked up.
    started = sa.select(r.started_at).where(r.trace_id.in_(sorted({trace_id for trace_id, _ in keys})))
    return list(session.execute(started).scalars())


def unpriced_groups(session: Session, since: datetime | None) -> list[UnpricedGroup]:
    """Calls without a cost by model and reason, the largest group first."""
    c, u, r = _CALLS.c, _UNPRICED.c, _REQUESTS.c
    joined = _REQUESTS.join(_CALLS, sa.and_(c.trace_id == r.trace_id, c.request_span_id == r.span_id)).outerjoin(
        _UNPRICED, sa.and_(u.trace_id == c.trace_id, u.span_id == c.span_id)
    )
    many = sa.func.count()
    failed = sa.func.sum(sa.case((c.error_type.is_not(None), 1), else_=0))
    query = (
        sa.select(c.provider, _MODEL.label("model"), u.reason, sa.func.min(u.detail), many, failed)
        .select_from(joined)
        .where(r.unpriced > 0, c.cost_nano_usd.is_(None))
        .group_by(c.provider, _MODEL, u.reason)
        .order_by(many.desc(), c.provider, _MODEL, u.reason)
    )
    if since is not None:
        query = query.where(r.started_at >= since)
    return [
        UnpricedGroup(provider=p, model=m, reason=why, detail=detail, calls=int(n), failed=int(f))
        for p, m, why, detail, n, f in session.execute(query)
    ]


def count_calls(session: Session, since: datetime | None) -> int:
    """How many calls there are."""
    query = sa.select(sa.func.coalesce(sa.func.sum(_REQUESTS.c.calls), 0))
    if since is not None:
        query = query.where(_REQUESTS.c.started_at >= since)
    return int(session.execute(query).scalar_one())


def remove_reasons_of_gone_calls(session: Session) -> None:
    """Delete the reasons of calls that are no longer stored."""
    c, u = _CALLS.c, _UNPRICED.c
    there = sa.exists().where(c.trace_id == u.trace_id, c.span_id == u.span_id)
    session.connection().execute(sa.delete(_UNPRICED).where(~there))


def remove_changes_of_gone_calls(session: Session) -> None:
    """Forget what became of the costs of calls that are no longer stored."""
    there = sa.exists().where(_CALLS.c.trace_id == _CHANGES.c.trace_id)
    session.connection().execute(sa.delete(_CHANGES).where(~there))


def changes_of(session: Session, trace_id: str) -> list[dict[str, Any]]:
    """The changed costs of a trace, oldest first."""
    query = sa.select(_CHANGES).where(_CHANGES.c.trace_id == trace_id).order_by(_CHANGES.c.id)
    return [dict(row) for row in session.execute(query).mappings()]


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
