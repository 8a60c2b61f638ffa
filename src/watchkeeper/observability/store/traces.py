"""The spans of traces, and the requests they are put together to."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.observability import packing, rows, tables
from watchkeeper.observability.packing import Texts
from watchkeeper.observability.request import Call, Request, Tokens
from watchkeeper.observability.rows import Key
from watchkeeper.observability.store.requests import delete_children, write
from watchkeeper.observability.store.statements import insert, slices, time_of
from watchkeeper.observability.store.touched import touch

_META = tables.Request.metadata.tables
_REQUESTS, _TRACES, _CALLS, _FEEDBACK = _META["requests"], _META["traces"], _META["calls"], _META["feedback"]


def stored_spans(session: Session, trace_ids: Sequence[str]) -> dict[str, list[Any]]:
    """The packed pieces of those traces that are known."""
    found: dict[str, list[Any]] = {}
    for some in slices(trace_ids):
        query = sa.select(_TRACES.c.trace_id, _TRACES.c.spans).where(_TRACES.c.trace_id.in_(some))
        found.update((row[0], packing.read_value(row[1])) for row in session.execute(query))
    return found


def save_traces(
    session: Session, pieces: Mapping[str, Sequence[Any]], requests: Sequence[Request], texts: Texts
) -> None:
    """Write traces as they are known now, and their requests.

    What the spans do not say stays: feedback, costs that were reckoned later. A request whose root turned out
    to be an inner span goes; its feedback moves to the root.

    Args:
        pieces: Trace id -> all its packed pieces.
        requests: All requests of those traces.
        texts: What the pieces' texts were kept with.
    """
    c = _REQUESTS.c
    older: dict[str, list[str]] = {}
    started = [r.started_at for r in requests]
    for some in slices(list(pieces)):
        query = sa.select(c.trace_id, c.span_id, c.started_at).where(c.trace_id.in_(some))
        for trace_id, span_id, started_at in session.execute(query):
            older.setdefault(trace_id, []).append(span_id)
            started.append(started_at)
    prices: dict[Key, str | None] = {}
    if older:
        requests, prices = _with_stored_prices(session, requests, sorted(older))
        _remove_older(session, pieces, requests, older)
    batch = rows.Batch(texts, time_of(session), prices)
    for request in sorted(requests, key=lambda r: (r.trace_id, r.span_id)):
        batch.add(request)
    write(session, batch)
    trace_ids = sorted(pieces)
    blobs = packing.pack_values([pieces[t] for t in trace_ids])
    insert(session, _TRACES, ("trace_id", "spans"), list(zip(trace_ids, blobs, strict=True)))
    touch(session, started)


def _remove_older(
    session: Session, pieces: Mapping[str, Sequence[Any]], requests: Sequence[Request], older: Mapping[str, list[str]]
) -> None:
    now: dict[str, list[str]] = {}
    for r in requests:
        now.setdefault(r.trace_id, []).append(r.span_id)
    gone: list[Key] = []
    for trace_id, span_ids in sorted(older.items()):
        ours = {row[0] for row in pieces[trace_id]}
        gone += [
            (trace_id, span_id) for span_id in span_ids if span_id in ours and span_id not in now.get(trace_id, ())
        ]
    known = [(t, s) for t in sorted(older) for s in older[t]]
    replaced = set(gone) | {(r.trace_id, r.span_id) for r in requests}
    delete_children(session, [key for key in known if key in replaced], rows.CHILDREN[:3])
    for trace_id, span_id in gone:
        mine = (_REQUESTS.c.trace_id == trace_id, _REQUESTS.c.span_id == span_id)
        session.execute(sa.delete(_REQUESTS).where(*mine))
        if root := next(iter(now.get(trace_id, ())), None):
            _move_feedback(session, trace_id, span_id, root)


def _move_feedback(session: Session, trace_id: str, old: str, new: str) -> None:
    c = _FEEDBACK.c
    taken = sa.select(sa.func.max(c.place)).where(c.trace_id == trace_id, c.request_span_id == new)
    first = session.execute(taken).scalar()
    session.execute(
        sa.update(_FEEDBACK)
        .where(c.trace_id == trace_id, c.request_span_id == old)
        .values(request_span_id=new, place=c.place + (0 if first is None else first + 1))
    )


def _with_stored_prices(
    session: Session, requests: Sequence[Request], trace_ids: Sequence[str]
) -> tuple[list[Request], dict[Key, str | None]]:
    """The requests with the costs reckoned before, where the spans say none and the call is what was priced."""
    c = _CALLS.c
    priced = [c.model_requested, c.model_served, *(c[f"tokens_{name}"] for name in Tokens.__dataclass_fields__)]
    costs: dict[Key, tuple[int, str, list[Any]]] = {}
    for some in slices(trace_ids):
        query = sa.select(c.trace_id, c.span_id, c.cost_nano_usd, c.price_id, *priced)
        for row in session.execute(query.where(c.trace_id.in_(some), c.price_id.is_not(None))):
            costs[row[0], row[1]] = (row[2], row[3], list(row[4:]))
    prices: dict[Key, str | None] = {}

    def with_price(trace_id: str, call: Call) -> Call:
        known = costs.get((trace_id, call.span_id))
        now = [call.model_requested, call.model_served, *astuple(call.tokens)]
        if known is None or call.cost_nano_usd is not None or known[2] != now:
            return call
        prices[trace_id, call.span_id] = known[1]
        return replace(call, cost_nano_usd=known[0])

    if costs:
        requests = [replace(r, calls=[with_price(r.trace_id, call) for call in r.calls]) for r in requests]
    return list(requests), prices
