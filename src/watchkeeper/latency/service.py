"""Look at all latencies: facts in, what is slow out; what was seen is remembered."""

from datetime import datetime
from pathlib import Path

from watchkeeper.database.engine import Store
from watchkeeper.facts import service as facts
from watchkeeper.latency import store
from watchkeeper.latency.check import Checked, check_traffic
from watchkeeper.latency.look import HISTORY
from watchkeeper.latency.store import LastCheck
from watchkeeper.latency.streams import CALL_COLUMNS, REQUEST_COLUMNS, traffic_of
from watchkeeper.latency.words import findings


def check(opened: Store, folder: Path, *, now: datetime, ratio: float, per_day: int) -> Checked:
    """Look at every stream as of now. Nothing is remembered until `keep`.

    Args:
        folder: Where the facts are written.
        ratio: Times the past's quantile below which nobody is told.
        per_day: Requests a day below which a stream joins the others of its route.

    Raises:
        StoreFailed: If the store or the facts cannot be read.
    """
    requests, calls = (
        facts.read(opened, folder, name, now - HISTORY, now, columns=columns)
        for name, columns in (("requests", REQUEST_COLUMNS), ("calls", CALL_COLUMNS))
    )
    with opened.read() as session:
        known = store.memories(session)
    return check_traffic(traffic_of(requests, calls), known, now, ratio=ratio, per_day=per_day)


def keep(opened: Store, checked: Checked) -> None:
    """Remember a check, once what it found is handed on: before, a crash would leave it untold."""
    last = LastCheck(
        checked_at=checked.at,
        streams=len(checked.streams),
        compared=sum(1 for looked in checked.streams.values() if looked.baselines),
        slow=len(findings(checked)),
    )
    with opened.write() as session:
        store.remember(session, checked.memories, last)


def last_check(opened: Store) -> LastCheck | None:
    """What the last check saw; None before the first."""
    with opened.read() as session:
        return store.last_check(session)
