"""Which hours changed: whoever keeps figures of an hour elsewhere sees by its version that they are old."""

from collections.abc import Iterable
from datetime import datetime

from sqlmodel import Session

from watchkeeper.observability import tables
from watchkeeper.observability.request import hour_of
from watchkeeper.observability.store.statements import is_postgresql

_TOUCHED = tables.TouchedHour.metadata.tables["touched_hours"]
_TOGETHER = 10_000


def touch(session: Session, started: Iterable[datetime]) -> None:
    """Add one to the version of every hour in which these requests started.

    The last statement of the transaction that writes, replaces, deletes or reprices them: until it ends nobody else
    can touch the same hours. Where a request moves, both its times are named.
    """
    hours = sorted({hour_of(at) for at in started})
    mark = "(%s, 1)" if is_postgresql(session) else "(?, 1)"
    for start in range(0, len(hours), _TOGETHER):
        some = hours[start : start + _TOGETHER]
        session.connection().exec_driver_sql(
            f"INSERT INTO {_TOUCHED.name} (hour, version) VALUES {', '.join([mark] * len(some))} "
            "ON CONFLICT (hour) DO UPDATE SET version = touched_hours.version + 1",
            tuple(some),
        )
