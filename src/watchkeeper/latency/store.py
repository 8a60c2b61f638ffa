"""Reads and writes of what is remembered of streams; the only file that queries it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, delete, select

from watchkeeper.foundation.clock import format_time, parse_time
from watchkeeper.latency.memory import Baseline, Memories, TimeoutMemory, Watched
from watchkeeper.latency.tables import LatencyCheck, LatencyState

_NAME = "latency"
_TIMEOUTS = "timeouts\x1f"
_TIMES = ("at", "since", "last")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCheck:
    """The last check: streams there were, those with enough past to compare with, findings."""

    checked_at: datetime
    streams: int
    compared: int
    slow: int


def memories(session: Session) -> Memories:
    """All that the last check left."""
    streams: dict[str, dict[str, Watched]] = {}
    timeouts: dict[str, TimeoutMemory] = {}
    for row in session.exec(select(LatencyState)):
        if row.key.startswith(_TIMEOUTS):
            timeouts[row.key.removeprefix(_TIMEOUTS)] = TimeoutMemory(**_read(row.state))
        else:
            streams[row.key] = {test: _watched(values) for test, values in row.state.items()}
    return Memories(streams=streams, timeouts=timeouts)


def remember(session: Session, memories: Memories, last: LastCheck) -> None:
    """Keep what a check left in place of what was kept."""
    session.execute(delete(LatencyState))
    for key, memory in memories.streams.items():
        state = {test: _written(asdict(watched)) for test, watched in memory.items()}
        session.add(LatencyState(key=key, state=state))
    for route, timeout in memories.timeouts.items():
        session.add(LatencyState(key=_TIMEOUTS + route, state=_written(asdict(timeout))))
    session.merge(LatencyCheck(name=_NAME, **asdict(last)))


def last_check(session: Session) -> LastCheck | None:
    """What the last check saw; None before the first."""
    row = session.get(LatencyCheck, _NAME)
    return None if row is None else LastCheck(**{name: getattr(row, name) for name in LastCheck.__dataclass_fields__})


def _watched(values: Mapping[str, Any]) -> Watched:
    read = _read(values)
    baseline = read.pop("baseline")
    return Watched(baseline=None if baseline is None else Baseline(**baseline), **read)


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: format_time(v) if isinstance(v, datetime) else v for name, v in values.items()}


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parse_time(v) if name in _TIMES and v is not None else v for name, v in values.items()}
