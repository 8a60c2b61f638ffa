"""What every table's reads and writes are made of: statements by the driver's own hand, slices, the ingest lock."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.foundation.clock import as_utc

AT_ONCE = 5_000
"""Values in one IN (…); both engines stop somewhere above 32,000."""
_ROWS = (256, 16, 1)
"""Rows of one INSERT, the most first; the widest table has 29 columns, and SQLite takes 32,766 values."""
_INGEST_LOCK = 7_402_118_331


def one_ingest_at_a_time(session: Session) -> None:
    """Hold off every other writer of spans until this transaction ends: two would each lose the other's spans.

    SQLite has one writer anyway.
    """
    lock(session, shared=False)


def lock(session: Session, *, shared: bool) -> None:
    if is_postgresql(session):
        session.execute(sa.text(f"SELECT pg_advisory_xact_lock{'_shared' if shared else ''}({_INGEST_LOCK})"))


def delete(session: Session, table: str, columns: Sequence[str], values: Sequence[tuple[str, ...]]) -> None:
    if values:
        mark = "%s" if is_postgresql(session) else "?"
        where = " AND ".join(f"{name} = {mark}" for name in columns)
        session.connection().exec_driver_sql(f"DELETE FROM {table} WHERE {where}", list(values))


def insert(
    session: Session,
    table: sa.Table,
    columns: Sequence[str],
    values: Sequence[tuple[Any, ...]],
    *,
    replacing: bool = True,
) -> None:
    """Plain tuples by the driver's own executemany, many rows a statement; of two rows with one key the later counts.

    Three times as fast as through the query compiler. On SQLite each statement lets go of the interpreter, and
    waits to get it back while others decode: so few statements.
    """
    connection, mark = session.connection(), "%s" if is_postgresql(session) else "?"
    done = 0
    for rows in _ROWS:
        whole = done + (len(values) - done) // rows * rows
        if whole > done:
            flat = [tuple(chain.from_iterable(values[at : at + rows])) for at in range(done, whole, rows)]
            connection.exec_driver_sql(_insert_sql(table, tuple(columns), mark, replacing, rows), flat)
        done = whole


@lru_cache
def _insert_sql(table: sa.Table, columns: tuple[str, ...], mark: str, replacing: bool, rows: int) -> str:
    keys = [column.name for column in table.primary_key]
    others = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    conflict = f"DO UPDATE SET {others}" if replacing else "DO NOTHING"
    marks = ", ".join([f"({', '.join([mark] * len(columns))})"] * rows)
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {marks} ON CONFLICT ({', '.join(keys)}) {conflict}"


def slices(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE))


def is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def time_of(session: Session) -> Callable[[datetime], Any]:
    """A time as the driver takes it: SQLite has none and compares texts."""
    return as_utc if is_postgresql(session) else _time_text


def _time_text(at: datetime) -> str:
    return as_utc(at).replace(tzinfo=None).isoformat(" ", "microseconds")
