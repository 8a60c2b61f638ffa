"""Requests with all inside them: written whole, read in pages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.observability import packing, rows, tables
from watchkeeper.observability.packing import Texts
from watchkeeper.observability.request import Request
from watchkeeper.observability.rows import Key
from watchkeeper.observability.store.posted import with_posted_feedback
from watchkeeper.observability.store.statements import delete, insert, lock, slices, time_of
from watchkeeper.observability.store.touched import touch

_META = tables.Request.metadata.tables
_REQUESTS, _TEXTS, _CALLS = _META["requests"], _META["texts"], _META["calls"]
_CHILDREN = tuple(_META[name] for name in rows.CHILDREN)


def save(session: Session, requests: Sequence[Request]) -> None:
    """Insert requests, or replace those of the same (trace id, span id) wholly, their spans too.

    Everybody writes in the order of the keys, so that two writers wait for each other at most in one direction.
    """
    latest = {(r.trace_id, r.span_id): r for r in requests}
    if not latest:
        return
    lock(session, shared=True)
    batch = rows.Batch(Texts(), time_of(session))
    for key in sorted(latest):
        batch.add(latest[key])
    delete_children(session, sorted(latest), rows.CHILDREN)
    replaced = _started(session, latest)
    write(session, batch)
    touch(session, [*replaced, *(r.started_at for r in latest.values())])


def _started(session: Session, keys: Collection[Key]) -> list[datetime]:
    """When those of these requests started that are stored already; they stay as they are until we replace them."""
    c = _REQUESTS.c
    found: list[datetime] = []
    for some in slices(sorted({trace_id for trace_id, _ in keys})):
        query = sa.select(c.trace_id, c.span_id, c.started_at).where(c.trace_id.in_(some))
        query = query.order_by(c.trace_id, c.span_id).with_for_update()
        found += [row[2] for row in session.execute(query) if (row[0], row[1]) in keys]
    return found


def delete_children(session: Session, keys: Sequence[Key], names: Sequence[str]) -> None:
    for name in names:
        delete(session, name, ("trace_id", "request_span_id"), keys)


def write(session: Session, batch: rows.Batch) -> None:
    texts = batch.texts.new
    keys = sorted(texts)
    packed = packing.pack_texts([texts[key] for key in keys])
    insert(session, _TEXTS, ("hash", "content"), list(zip(keys, packed, strict=True)), replacing=False)
    for name, columns in rows.COLUMNS.items():
        insert(session, _META[name], columns, batch.written(name))


def requests_of_trace(session: Session, trace_id: str) -> list[Request]:
    """The requests of one trace, oldest first."""
    query = sa.select(_REQUESTS).where(_REQUESTS.c.trace_id == trace_id)
    return _loaded(session, session.execute(_oldest_first(query)).mappings().all())


def requests_of_keys(session: Session, keys: Collection[Key]) -> list[Request]:
    """Those of these requests that are stored, oldest first."""
    wanted = set(keys)
    found: list[Request] = []
    for some in slices(sorted({trace_id for trace_id, _ in wanted})):
        query = sa.select(_REQUESTS).where(_REQUESTS.c.trace_id.in_(some))
        found += _loaded(session, session.execute(_oldest_first(query)).mappings().all())
    return [r for r in found if (r.trace_id, r.span_id) in wanted]


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


def _oldest_first(query: sa.Select[Any]) -> sa.Select[Any]:
    return query.order_by(_REQUESTS.c.started_at, _REQUESTS.c.trace_id, _REQUESTS.c.span_id)


def _loaded(session: Session, found: Sequence[Mapping[Any, Any]]) -> list[Request]:
    """The requests of these rows with their spans and texts: one query a table, however many rows."""
    children: dict[str, dict[Key, list[Mapping[str, Any]]]] = {table.name: {} for table in _CHILDREN}
    traces = sorted({row["trace_id"] for row in found})
    for table in _CHILDREN:
        for some in slices(traces):
            query = sa.select(table).where(table.c.trace_id.in_(some)).order_by(table.c.trace_id, table.c.place)
            for row in session.execute(query).mappings():
                key = (row["trace_id"], row["request_span_id"])
                children[table.name].setdefault(key, []).append(row)  # type: ignore[arg-type]
    texts = texts_of(session, rows.hashes_of(found, children))
    return with_posted_feedback(session, [rows.request_of(row, children, texts) for row in found])


def texts_of(session: Session, hashes: Iterable[str]) -> dict[str, str]:
    """The texts of keys."""
    found: dict[str, str] = {}
    for some in slices(sorted(hashes)):
        query = sa.select(_TEXTS.c.hash, _TEXTS.c.content).where(_TEXTS.c.hash.in_(some))
        found.update((row[0], packing.read_text(row[1])) for row in session.execute(query))
    return found


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


def count_before(session: Session, before: datetime) -> int:
    """How many requests started before a time."""
    query = sa.select(sa.func.count()).select_from(_REQUESTS).where(_REQUESTS.c.started_at < before)
    return int(session.execute(query).scalar_one())


def price_ids(session: Session, trace_id: str) -> dict[str, str | None]:
    """Call's span id -> the price its cost was reckoned with."""
    query = sa.select(_CALLS.c.span_id, _CALLS.c.price_id).where(_CALLS.c.trace_id == trace_id)
    return {row[0]: row[1] for row in session.execute(query)}
