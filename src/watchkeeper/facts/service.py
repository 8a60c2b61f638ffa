"""Facts written when their hour has settled, and read as if they all were: what flows, commands and checks call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from watchkeeper.database.engine import Store
from watchkeeper.facts import files, store, view
from watchkeeper.facts.columns import FACTS, Column, FactTable, fact_table
from watchkeeper.facts.store import Hour
from watchkeeper.facts.usage import Usage
from watchkeeper.facts.view import View, Where
from watchkeeper.foundation.errors import NotFound
from watchkeeper.observability.request import hour_of

SETTLES = timedelta(minutes=10)
"""How long after its end an hour is written: until then most of what is late has come."""

_HOUR = timedelta(hours=1)
_ALL_HOURS = (-(2**31), 2**31 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one run wrote: hours of any fact table, their rows; and old files it removed."""

    hours: int
    rows: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far the facts are.

    Attributes:
        hours: Hours that have a file.
        bytes: Of all files.
        oldest_open: Start of the first hour that is read from the store; None when all are in files.
    """

    hours: int
    bytes: int
    oldest_open: datetime | None


def write_settled(opened: Store, folder: Path, now: datetime) -> Written:
    """Write the facts of every settled hour that changed since it was written, and remove old files.

    Hour by hour, each committed by itself: it may be stopped and run again. One that changes meanwhile is written
    again the next time.

    Args:
        folder: Where the files are, a folder for each fact table in it; made when it is not there.

    Raises:
        StoreFailed: If the store or the disk fails; the hours before it stay.
    """
    last = hour_of(now - SETTLES)
    written = rows = 0
    for fact in FACTS.values():
        there = files.names_in(folder / fact.name)
        with opened.read() as session:
            stale = [h for h in store.hours(session, fact, _ALL_HOURS[0], last) if not _is_clean(h, there)]
        for each in stale:
            rows += _write_hour(opened, folder / fact.name, fact, each, now)
            written += 1
    with opened.read() as session:
        used = store.files(session, list(FACTS))
    return Written(hours=written, rows=rows, removed=files.sweep(folder, used, now=now))


def _write_hour(opened: Store, folder: Path, fact: FactTable, stale: Hour, now: datetime) -> int:
    with opened.read() as session:
        store.one_snapshot(session)
        [hour] = store.hours(session, fact, stale.hour, stale.hour + 1)
        found = store.rows(session, fact, fact.columns, [_window(hour.hour)])
    name, size = None, 0
    if len(found):
        name, size = files.write_file(folder, hour.hour, hour.version, found, fact.columns, now=now)
    if hour.file is not None:
        files.retire(folder, hour.file, now=now)
    with opened.write() as session:
        store.point_at(session, fact, hour.hour, hour.version, name, len(found), size)
    return len(found)


def read(
    opened: Store,
    folder: Path,
    fact: str,
    since: datetime,
    until: datetime,
    *,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
) -> pa.Table:
    """The facts of what started in [since, until), in no order; exactly what the store holds.

    Args:
        folder: Where `write_settled` writes.
        fact: "requests" or "calls".
        columns: Their names (facts.columns); None gives all. Times are UTC, money is int64 nano-dollars, what is
            not known is null.
        where: Label -> the value it must have; None is "the record says none".

    Raises:
        NotFound: If there is no such fact table, column or label.
        StoreFailed: If the store or a file cannot be read.
    """
    table = fact_table(fact)
    wanted, where = table.pick(columns), where or {}
    _known_labels(where, table.labels)
    return view.select(_view(opened, folder, table, since, until, {*(c.name for c in wanted), *where}), wanted, where)


def usage(
    opened: Store,
    folder: Path,
    since: datetime,
    until: datetime,
    *,
    by: Sequence[str] = (),
    every: timedelta | None = None,
    where: Where | None = None,
) -> list[Usage]:
    """Use, cost and speed of what started in [since, until), broken down by any labels; exactly what the store holds.

    Where a label of calls is named (model, provider, finish_reason …) it counts calls, and their errors and durations
    are those of calls; otherwise requests.

    Args:
        folder: Where `write_settled` writes.
        by: Labels; every combination that occurs is a row. None gives the whole as one.
        every: Length of a bucket of time, at least a second; they begin at multiples of it since 1970, UTC.
        where: Label -> the value it must have; None is "the record says none".

    Returns:
        In the order of time, then those of the most requests first. No row where nothing happened.

    Raises:
        NotFound: If there is no such label.
        ValueError: If a bucket is shorter than a second.
        StoreFailed: If the store or a file cannot be read.
    """
    if every is not None and every < timedelta(seconds=1):
        raise ValueError("a bucket of time is at least a second long")
    where = where or {}
    named = list(dict.fromkeys([*by, *where]))
    _known_labels(named, labels())
    table = FACTS["requests" if set(named) <= set(FACTS["requests"].labels) else "calls"]
    columns = {*view.MEASURES, *named, *(("calls", "unpriced") if table.name == "requests" else ())}
    return view.usage(_view(opened, folder, table, since, until, columns), list(dict.fromkeys(by)), every, where)


def labels() -> list[str]:
    """Every label `usage` takes."""
    return list(dict.fromkeys([*FACTS["requests"].labels, *FACTS["calls"].labels]))


def state(opened: Store, folder: Path) -> State:
    """How many hours are written, and where the open ones begin."""
    fact = FACTS["requests"]
    there = files.names_in(folder / fact.name)
    with opened.read() as session:
        hours, size = store.written(session)
        first = next((h for h in store.hours(session, fact, *_ALL_HOURS) if not _is_clean(h, there)), None)
    return State(hours=hours, bytes=size, oldest_open=None if first is None else _window(first.hour)[0])


def _view(opened: Store, folder: Path, fact: FactTable, since: datetime, until: datetime, names: Iterable[str]) -> View:
    """Files of the clean hours and the store's rows of all others, at one moment.

    The files are opened after that moment: what is not pointed at any more stays for `files.GRACE`.
    """
    columns: list[Column] = fact.pick(sorted({*names, "started_at"}))
    folder = folder / fact.name
    with opened.read() as session:
        store.one_snapshot(session)
        hours = store.hours(session, fact, hour_of(since), hour_of(until) + 1)
        there = files.names_in(folder)
        open_hours = [h.hour for h in hours if not _is_clean(h, there)]
        windows = [(max(since, start), min(until, end)) for start, end in _windows(open_hours)]
        open_rows = store.rows(session, fact, columns, windows)
    whole: list[str] = []
    edges: list[str] = []
    for h in hours:
        if h.file is not None and _is_clean(h, there):
            start, end = _window(h.hour)
            (whole if since <= start and end <= until else edges).append(h.file)
    return View(fact=fact, folder=folder, files=whole, edges=edges, open_rows=open_rows, since=since, until=until)


def _is_clean(hour: Hour, there: set[str]) -> bool:
    """Whether its file is what the store holds. One that is not in this folder, whyever, is not."""
    return hour.written == hour.version and (hour.file is None or hour.file in there)


def _windows(hours: Sequence[int]) -> list[tuple[datetime, datetime]]:
    """The hours, those that follow each other as one window."""
    joined: list[tuple[datetime, datetime]] = []
    for start, end in map(_window, hours):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _window(hour: int) -> tuple[datetime, datetime]:
    start = datetime.fromtimestamp(hour * 3600, UTC)
    return start, start + _HOUR


def _known_labels(asked: Iterable[str] | Mapping[str, object], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            raise NotFound("label", name, known)
