"""What was dropped, mended or refused on the way in, by day."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.observability import tables
from watchkeeper.observability.store.statements import is_postgresql

_COUNTS = tables.IntakeCount.metadata.tables["intake_counts"]


def add_counts(session: Session, day: str, counts: Mapping[str, int]) -> None:
    """Add to the counts of a day; in the order of the names, so that two writers never wait for each other."""
    mark = "%s" if is_postgresql(session) else "?"
    sql = (
        f"INSERT INTO intake_counts (day, name, count) VALUES ({mark}, {mark}, {mark}) "
        "ON CONFLICT (day, name) DO UPDATE SET count = intake_counts.count + excluded.count"
    )
    session.connection().exec_driver_sql(sql, [(day, name, counts[name]) for name in sorted(counts)])


def counts_since(session: Session, day: str) -> dict[str, int]:
    """Name -> how often, from a day on."""
    c = _COUNTS.c
    query = sa.select(c.name, sa.func.sum(c.count)).where(c.day >= day).group_by(c.name).order_by(c.name)
    return {row[0]: int(row[1]) for row in session.execute(query)}
