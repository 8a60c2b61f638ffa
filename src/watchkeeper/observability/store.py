"""Reads and writes of requests and their texts; the only file that queries them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.observability import rows, tables
from watchkeeper.observability.request import Request
from watchkeeper.observability.rows import Key

_META = tables.Request.metadata.tables
_REQUESTS, _TEXTS = _META["requests"], _META["texts"]
_CHILDREN = tuple(_META[name] for name in rows.CHILDREN)
_AT_ONCE = 5_000
"""Values in one IN (…); both engines stop somewhere above 32,000."""


def save(session: Session, requests: Sequence[Request]) -> None:
    """Insert requests, or replace those of the same (trace id, span id) wholly, their spans too.

    Everybody writes in the order of the keys, so that two writers wait for each other at most in one direction.
    """
    latest = {(r.trace_id, r.span_id): r for r in requests}
    batch = rows.Batch()
    for key in sorted(latest):
        batch.add(latest[key])
    if not batch.requests:
        return
    _insert(session, _TEXTS, [{"hash": h, "content": batch.texts[h]} for h in sorted(batch.texts)], replace=False)
    _insert(session, _REQUESTS, batch.requests)
    keys = [{"of_trace": trace_id, "of_span": span_id} for trace_id, span_id in sorted(latest)]
    for table in _CHILDREN:
        mine = sa.and_(table.c.trace_id == sa.bindparam("of_trace"), table.c.request_span_id == sa.bindparam("of_span"))
        session.execute(sa.delete(table).where(mine), keys)
        _insert(session, table, batch.children[table.name])


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
    texts = _texts(session, rows.hashes_of(found, children))
    return [rows.request_of(row, children, texts) for row in found]


def _texts(session: Session, hashes: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in _slices(sorted(hashes)):
        query = sa.select(_TEXTS.c.hash, _TEXTS.c.content).where(_TEXTS.c.hash.in_(some))
        found.update((row[0], row[1]) for row in session.execute(query))
    return found


def _slices(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _insert(session: Session, table: sa.Table, values: Sequence[Mapping[str, Any]], *, replace: bool = True) -> None:
    if not values:
        return
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as pg_insert

        statement: Any = pg_insert(table)
    else:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        statement = sqlite_insert(table)
    keys = [column.name for column in table.primary_key]
    others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    statement = (
        statement.on_conflict_do_update(index_elements=keys, set_=others)
        if replace
        else statement.on_conflict_do_nothing(index_elements=keys)
    )
    session.execute(statement, list(values))
