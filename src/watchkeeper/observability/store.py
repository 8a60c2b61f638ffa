"""Reads and writes of requests and their texts; the only file that queries them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.foundation.clock import as_utc
from watchkeeper.observability import packing, rows, tables
from watchkeeper.observability.packing import Texts
from watchkeeper.observability.pieces import keys_of
from watchkeeper.observability.request import Call, Feedback, Request, Tokens
from watchkeeper.observability.rows import Key

_META = tables.Request.metadata.tables
_REQUESTS, _TEXTS, _TRACES = _META["requests"], _META["texts"], _META["traces"]
_CALLS, _FEEDBACK = _META["calls"], _META["feedback"]
_POSTED, _RESOLUTIONS = _META["posted_feedback"], _META["resolutions"]
_INGEST_LOCK = 7_402_118_331
_CHILDREN = tuple(_META[name] for name in rows.CHILDREN)
_AT_ONCE = 5_000
"""Values in one IN (…); both engines stop somewhere above 32,000."""


def save(session: Session, requests: Sequence[Request]) -> None:
    """Insert requests, or replace those of the same (trace id, span id) wholly, their spans too.

    Everybody writes in the order of the keys, so that two writers wait for each other at most in one direction.
    """
    latest = {(r.trace_id, r.span_id): r for r in requests}
    if not latest:
        return
    _lock(session, shared=True)
    batch = rows.Batch(Texts(), _time_of(session))
    for key in sorted(latest):
        batch.add(latest[key])
    _delete_children(session, sorted(latest), rows.CHILDREN)
    _write(session, batch)


def one_ingest_at_a_time(session: Session) -> None:
    """Hold off every other writer of spans until this transaction ends: two would each lose the other's spans.

    SQLite has one writer anyway.
    """
    _lock(session, shared=False)


def _lock(session: Session, *, shared: bool) -> None:
    if _is_postgresql(session):
        session.execute(sa.text(f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}({_INGEST_LOCK})"))


def stored_spans(session: Session, trace_ids: Sequence[str]) -> dict[str, list[Any]]:
    """The packed pieces of those traces that are known."""
    found: dict[str, list[Any]] = {}
    for some in _slices(trace_ids):
        query = sa.select(_TRACES.c.trace_id, _TRACES.c.spans).where(_TRACES.c.trace_id.in_(some))
        found.update((row[0], packing.read_spans(row[1])) for row in session.execute(query))
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
    for some in _slices(list(pieces)):
        for trace_id, span_id in session.execute(sa.select(c.trace_id, c.span_id).where(c.trace_id.in_(some))):
            older.setdefault(trace_id, []).append(span_id)
    prices: dict[Key, str | None] = {}
    if older:
        requests, prices = _with_stored_prices(session, requests, sorted(older))
        _remove_older(session, pieces, requests, older)
    batch = rows.Batch(texts, _time_of(session), prices)
    for request in sorted(requests, key=lambda r: (r.trace_id, r.span_id)):
        batch.add(request)
    _write(session, batch)
    trace_ids = sorted(pieces)
    blobs = packing.pack_spans([pieces[t] for t in trace_ids])
    _insert(session, _TRACES, ("trace_id", "spans"), list(zip(trace_ids, blobs, strict=True)))


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
    _delete_children(session, [key for key in known if key in replaced], rows.CHILDREN[:3])
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
    for some in _slices(trace_ids):
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


def _delete_children(session: Session, keys: Sequence[Key], names: Sequence[str]) -> None:
    for name in names:
        _delete(session, name, ("trace_id", "request_span_id"), keys)


def _delete(session: Session, table: str, columns: Sequence[str], values: Sequence[tuple[str, ...]]) -> None:
    if values:
        mark = "%s" if _is_postgresql(session) else "?"
        where = " AND ".join(f"{name} = {mark}" for name in columns)
        session.connection().exec_driver_sql(f"DELETE FROM {table} WHERE {where}", list(values))


def _write(session: Session, batch: rows.Batch) -> None:
    texts = batch.texts.new
    keys = sorted(texts)
    packed = packing.pack_texts([texts[key] for key in keys])
    _insert(session, _TEXTS, ("hash", "content"), list(zip(keys, packed, strict=True)), replacing=False)
    for name, columns in rows.COLUMNS.items():
        _insert(session, _META[name], columns, batch.rows[name])


def remove_before(session: Session, before: datetime, *, limit: int) -> int:
    """Delete the oldest requests that started before a time, with all inside them; how many it were, at most `limit`.

    The spans of a trace go with its last request.
    """
    one_ingest_at_a_time(session)
    c = _REQUESTS.c
    query = sa.select(c.trace_id, c.span_id).where(c.started_at < before).order_by(c.started_at).limit(limit)
    keys = [(row[0], row[1]) for row in session.execute(query)]
    _delete_children(session, keys, rows.CHILDREN)
    _delete(session, "requests", ("trace_id", "span_id"), keys)
    traces = sorted({trace_id for trace_id, _ in keys})
    left: set[str] = set()
    for some in _slices(traces):
        left.update(session.execute(sa.select(c.trace_id).where(c.trace_id.in_(some))).scalars())
    gone = [(trace_id,) for trace_id in traces if trace_id not in left]
    _delete(session, "traces", ("trace_id",), gone)
    _delete(session, "posted_feedback", ("trace_id",), gone)
    return len(keys)


def remove_orphans(session: Session, before: datetime) -> int:
    """Delete texts nothing points at, and spans that never became a request; how many texts it were."""
    one_ingest_at_a_time(session)
    used: set[str | None] = set()
    query = sa.select(_REQUESTS.c.input_hash, _REQUESTS.c.response_hash)
    for row in session.execute(query.execution_options(yield_per=_AT_ONCE)):
        used.update(row)
    query_calls = sa.select(_CALLS.c.response_hash, _CALLS.c.message_hashes)
    for response, messages in session.execute(query_calls.execution_options(yield_per=_AT_ONCE)):
        used.add(response)
        used.update(each.partition(":")[0] for each in messages)
    used.update(session.execute(sa.select(_META["tool_calls"].c.result_hash)).scalars())
    last_ns, stale = int(before.timestamp()) * 10**9, []
    with_request = sa.exists().where(_REQUESTS.c.trace_id == _TRACES.c.trace_id)
    query_traces = sa.select(_TRACES.c.trace_id, _TRACES.c.spans, with_request)
    for trace_id, blob, has_request in session.execute(query_traces.execution_options(yield_per=_AT_ONCE)):
        packed = packing.read_spans(blob)
        if not has_request and all(row[5] < last_ns for row in packed):
            stale.append((trace_id,))
        else:
            used.update(key for row in packed for key in keys_of(row))
    _delete(session, "traces", ("trace_id",), stale)
    orphans = [(key,) for key in session.execute(sa.select(_TEXTS.c.hash)).scalars() if key not in used]
    _delete(session, "texts", ("hash",), orphans)
    return len(orphans)


def count_before(session: Session, before: datetime) -> int:
    """How many requests started before a time."""
    query = sa.select(sa.func.count()).select_from(_REQUESTS).where(_REQUESTS.c.started_at < before)
    return int(session.execute(query).scalar_one())


def price_ids(session: Session, trace_id: str) -> dict[str, str | None]:
    """Call's span id -> the price its cost was reckoned with."""
    query = sa.select(_CALLS.c.span_id, _CALLS.c.price_id).where(_CALLS.c.trace_id == trace_id)
    return {row[0]: row[1] for row in session.execute(query)}


def requests_of_trace(session: Session, trace_id: str) -> list[Request]:
    """The requests of one trace, oldest first."""
    query = sa.select(_REQUESTS).where(_REQUESTS.c.trace_id == trace_id)
    return _loaded(session, session.execute(_oldest_first(query)).mappings().all())


def page(
    session: Session,
    *,
    since: datetime | None,
    until: datetime | None,
    route: str | None,
    after: tuple[datetime, str, str] | None,
    limit: int,
) -> list[Request]:
    """The oldest requests of [since, until) that come after one place (started_at, trace id, span id)."""
    c = _REQUESTS.c
    query = sa.select(_REQUESTS)
    if since is not None:
        query = query.where(c.started_at >= since)
    if until is not None:
        query = query.where(c.started_at < until)
    if route is not None:
        query = query.where(c.route == route)
    if after is not None:
        at, trace_id, span_id = after
        same_time = sa.or_(c.trace_id > trace_id, sa.and_(c.trace_id == trace_id, c.span_id > span_id))
        # The first condition is implied by the second; it is what the index can be entered by.
        query = query.where(c.started_at >= at, sa.or_(c.started_at > at, sa.and_(c.started_at == at, same_time)))
    return _loaded(session, session.execute(_oldest_first(query).limit(limit)).mappings().all())


def count(session: Session) -> int:
    """How many requests there are."""
    return int(session.execute(sa.select(sa.func.count()).select_from(_REQUESTS)).scalar_one())


def newest_at(session: Session) -> datetime | None:
    """When the newest request started; None when there is none."""
    query = sa.select(_REQUESTS.c.started_at).order_by(_REQUESTS.c.started_at.desc()).limit(1)
    found: datetime | None = session.execute(query).scalar_one_or_none()
    return found


def newest_trace_ids(session: Session, *, limit: int) -> list[str]:
    """Trace ids of the newest requests."""
    query = sa.select(_REQUESTS.c.trace_id).order_by(_REQUESTS.c.started_at.desc()).limit(limit)
    return list(session.execute(query).scalars())


def _oldest_first(query: sa.Select[Any]) -> sa.Select[Any]:
    return query.order_by(_REQUESTS.c.started_at, _REQUESTS.c.trace_id, _REQUESTS.c.span_id)


def _loaded(session: Session, found: Sequence[Mapping[Any, Any]]) -> list[Request]:
    """The requests of these rows with their spans and texts: one query a table, however many rows."""
    children: dict[str, dict[Key, list[Mapping[str, Any]]]] = {table.name: {} for table in _CHILDREN}
    traces = sorted({row["trace_id"] for row in found})
    for table in _CHILDREN:
        for some in _slices(traces):
            query = sa.select(table).where(table.c.trace_id.in_(some)).order_by(table.c.trace_id, table.c.place)
            for row in session.execute(query).mappings():
                key = (row["trace_id"], row["request_span_id"])
                children[table.name].setdefault(key, []).append(row)  # type: ignore[arg-type]
    texts = texts_of(session, rows.hashes_of(found, children))
    return _with_posted_feedback(session, [rows.request_of(row, children, texts) for row in found])


def texts_of(session: Session, hashes: Iterable[str]) -> dict[str, str]:
    """The texts of keys."""
    found: dict[str, str] = {}
    for some in _slices(sorted(hashes)):
        query = sa.select(_TEXTS.c.hash, _TEXTS.c.content).where(_TEXTS.c.hash.in_(some))
        found.update((row[0], packing.read_text(row[1])) for row in session.execute(query))
    return found


def _slices(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _insert(
    session: Session,
    table: sa.Table,
    columns: Sequence[str],
    values: Sequence[tuple[Any, ...]],
    *,
    replacing: bool = True,
) -> None:
    """Plain tuples by the driver's own executemany: three times as fast as through the query compiler."""
    if values:
        sql = _insert_sql(table, tuple(columns), "%s" if _is_postgresql(session) else "?", replacing)
        session.connection().exec_driver_sql(sql, list(values))


@lru_cache
def _insert_sql(table: sa.Table, columns: tuple[str, ...], mark: str, replacing: bool) -> str:
    keys = [column.name for column in table.primary_key]
    others = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    conflict = f"DO UPDATE SET {others}" if replacing else "DO NOTHING"
    marks = ", ".join([mark] * len(columns))
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT ({', '.join(keys)}) {conflict}"
    )


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _time_of(session: Session) -> Callable[[datetime], Any]:
    """A time as the driver takes it: SQLite has none and compares texts."""
    return as_utc if _is_postgresql(session) else _time_text


def _time_text(at: datetime) -> str:
    return as_utc(at).replace(tzinfo=None).isoformat(" ", "microseconds")


def add_feedback(session: Session, key: str, trace_id: str, said: Feedback, *, now: datetime) -> None:
    """Keep one feedback under its key; known already, nothing changes."""
    columns = ("id", "trace_id", "kind", "value", "comment", "at", "received_at")
    time = _time_of(session)
    at = None if said.at is None else time(said.at)
    row = (key, trace_id, said.kind, json.dumps(said.value, ensure_ascii=False), said.comment, at, time(now))
    _insert(session, _POSTED, columns, [row], replacing=False)


def set_resolution(session: Session, job_id: str, *, resolved: bool, at: datetime) -> None:
    """Remember how a job ended, unless something later is known."""
    c = _RESOLUTIONS.c
    known = session.execute(sa.select(c.at).where(c.job_id == job_id)).scalar_one_or_none()
    if known is None or at >= known:
        row = (job_id, resolved, _time_of(session)(at))
        _insert(session, _RESOLUTIONS, ("job_id", "resolved", "at"), [row])


def resolution(session: Session, job_id: str) -> tuple[bool, datetime] | None:
    """How a job ended and when, or None when nobody said."""
    c = _RESOLUTIONS.c
    row = session.execute(sa.select(c.resolved, c.at).where(c.job_id == job_id)).one_or_none()
    return None if row is None else (bool(row[0]), as_utc(row[1]))


def _with_posted_feedback(session: Session, requests: Sequence[Request]) -> list[Request]:
    """The requests with the feedback that came by itself: a trace's oldest request gets it."""
    c = _POSTED.c
    posted: dict[str, list[Feedback]] = {}
    for some in _slices(sorted({r.trace_id for r in requests})):
        for row in session.execute(sa.select(_POSTED).where(c.trace_id.in_(some)).order_by(c.received_at, c.id)):
            said = Feedback(
                kind=row.kind,
                value=None if row.value is None else json.loads(row.value),
                comment=row.comment,
                at=None if row.at is None else as_utc(row.at),
            )
            posted.setdefault(row.trace_id, []).append(said)
    made = []
    for r in requests:
        mine = [said for said in posted.pop(r.trace_id, ()) if said not in r.feedback]
        made.append(replace(r, feedback=[*r.feedback, *mine]) if mine else r)
    return made
