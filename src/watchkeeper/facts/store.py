"""The rows of an hour as the store has them, and which file holds which hour; the only file that queries them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.facts import tables
from watchkeeper.facts.columns import Column, FactTable, schema
from watchkeeper.foundation.clock import as_utc
from watchkeeper.observability import tables as records

_HOURS = tables.FactHour.metadata.tables["fact_hours"]
_TOUCHED = records.TouchedHour.metadata.tables["touched_hours"]
_TOGETHER = 20_000
"""Rows in memory as Python has them; as Arrow has them they are a tenth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour something happened in.

    Attributes:
        version: What it is in the store now.
        written: What it was when its file was written; None when it never was.
        file: Name of its file; None where it had no rows.
    """

    hour: int
    version: int
    written: int | None
    file: str | None
    rows: int | None


def one_snapshot(session: Session) -> None:
    """All reads of this session see the store at one moment; before the first of them. SQLite does so anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def hours(session: Session, fact: FactTable, since: int, until: int) -> list[Hour]:
    """The hours of [since, until) in which requests started, in order."""
    t, f = _TOUCHED.c, _HOURS.c
    joined = _TOUCHED.outerjoin(_HOURS, sa.and_(f.hour == t.hour, f.fact == fact.name))
    query = sa.select(t.hour, t.version, f.version, f.file, f.rows).select_from(joined)
    query = query.where(t.hour >= since, t.hour < until).order_by(t.hour)
    return [
        Hour(hour=hour, version=version, written=written, file=file, rows=rows)
        for hour, version, written, file, rows in session.execute(query)
    ]


def rows(
    session: Session, fact: FactTable, columns: Sequence[Column], windows: Iterable[tuple[datetime, datetime]]
) -> pa.Table:
    """These columns of everything that started in the windows [since, until)."""
    postgresql = session.get_bind().dialect.name == "postgresql"
    time, mark = fact.columns[0].sql, "%s" if postgresql else "?"
    query = f"SELECT {', '.join(c.sql for c in columns)} FROM {fact.source} WHERE {time} >= {mark} AND {time} < {mark}"
    target = schema(columns)
    batches: list[pa.RecordBatch] = []
    for window in windows:
        bounds = tuple(as_utc(at) if postgresql else _time_text(at) for at in window)
        found = session.connection().exec_driver_sql(query, bounds, execution_options={"stream_results": True})
        # SQLite's own tuples: to wrap each row takes a quarter of the time again. PostgreSQL's are read ahead.
        fetch = found.fetchmany if postgresql else found.cursor.fetchmany
        while some := fetch(_TOGETHER):
            values = zip(*some, strict=True)
            arrays = [_array(column, each) for column, each in zip(columns, values, strict=True)]
            batches.append(pa.record_batch(arrays, schema=target))
        found.close()
    return pa.Table.from_batches(batches, schema=target)


def _array(column: Column, values: Sequence[Any]) -> pa.Array:
    if column.kind == "flag":
        return pa.array([None if value is None else bool(value) for value in values], column.type)
    if column.kind == "time" and isinstance(values[0], str):
        return pa.array(values, pa.string()).cast(pa.timestamp("us")).cast(column.type)
    return pa.array(values, column.type)


def _time_text(at: datetime) -> str:
    """A time as SQLite has it: there it is compared as text."""
    return as_utc(at).replace(tzinfo=None).isoformat(" ", "microseconds")


def point_at(
    session: Session, fact: FactTable, hour: int, version: int, file: str | None, count: int, size: int
) -> None:
    """Say which file holds an hour as of a version; one of a later version stays."""
    values = {"fact": fact.name, "hour": hour, "version": version, "file": file, "rows": count, "bytes": size}
    session.connection().execute(
        sa.text(
            "INSERT INTO fact_hours (fact, hour, version, file, rows, bytes) "
            "VALUES (:fact, :hour, :version, :file, :rows, :bytes) "
            "ON CONFLICT (fact, hour) DO UPDATE SET version = excluded.version, file = excluded.file, "
            "rows = excluded.rows, bytes = excluded.bytes WHERE excluded.version >= fact_hours.version"
        ),
        values,
    )


def files(session: Session, facts: Collection[str]) -> dict[str, set[str]]:
    """Fact table -> the files that are pointed at."""
    found: dict[str, set[str]] = {fact: set() for fact in facts}
    query = sa.select(_HOURS.c.fact, _HOURS.c.file).where(_HOURS.c.file.is_not(None), _HOURS.c.fact.in_(facts))
    for fact, file in session.execute(query):
        found[fact].add(file)
    return found


def written(session: Session) -> tuple[int, int]:
    """Hours that have a file, and the bytes of all files."""
    query = sa.select(sa.func.count(_HOURS.c.hour.distinct()), sa.func.coalesce(sa.func.sum(_HOURS.c.bytes), 0))
    row = session.execute(query.where(_HOURS.c.file.is_not(None))).one()
    return int(row[0]), int(row[1])
