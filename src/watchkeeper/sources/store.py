"""Reads and writes of watermarks and of the sources' own names; the only file that queries them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from watchkeeper.observability import tables as records  # noqa: F401  declares the requests
from watchkeeper.sources import tables
from watchkeeper.sources.interface import Remote

_META = tables.Watermark.metadata.tables
_REMOTE, _REQUESTS = _META["remote_requests"], _META["requests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far one source was read.

    Attributes:
        pulled_until: Everything that started before it was read; None before the first slice.
        pulled_at: When the newest pull ended well.
        failed_at, failing_since, error: The newest failure and the first one since then; None when the newest pull
            ended well.
        owner, seen_at: Who pulls at the moment and its newest sign of life.
    """

    source: str
    pulled_until: datetime | None = None
    pulled_at: datetime | None = None
    failed_at: datetime | None = None
    failing_since: datetime | None = None
    error: str | None = None
    owner: str | None = None
    seen_at: datetime | None = None


def watermarks(session: Session) -> list[Watermark]:
    """Every source that was ever pulled, by name."""
    return [_value(row) for row in session.exec(select(tables.Watermark).order_by(tables.Watermark.source))]


def watermark(session: Session, source: str) -> Watermark:
    """One source's, locked until the transaction ends; an empty one where there is none yet."""
    found = session.exec(select(tables.Watermark).where(tables.Watermark.source == source).with_for_update()).first()
    return Watermark(source=source) if found is None else _value(found)


def save_watermark(session: Session, mark: Watermark) -> None:
    """Write a source's watermark in the place of the one before."""
    session.merge(tables.Watermark(**asdict(mark)))


def save_remote(session: Session, source: str, roots: Sequence[Remote]) -> None:
    """Write what the source calls these spans; known already, the newer word counts."""
    if not roots:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    insert = dialect.insert(_REMOTE)
    names = ("remote_trace_id", "remote_id", "url")
    session.connection().execute(
        insert.on_conflict_do_update(
            index_elements=[c.name for c in _REMOTE.primary_key], set_={name: insert.excluded[name] for name in names}
        ),
        [{"source": source, **asdict(root)} for root in {(r.trace_id, r.span_id): r for r in roots}.values()],
    )


def remote_of_trace(session: Session, trace_id: str, *, source: str | None = None) -> list[tuple[str, Remote]]:
    """The source and its names of every root span of a trace."""
    query = select(tables.RemoteRequest).where(tables.RemoteRequest.trace_id == trace_id)
    if source is not None:
        query = query.where(tables.RemoteRequest.source == source)
    query = query.order_by(col(tables.RemoteRequest.source), col(tables.RemoteRequest.span_id))
    return [
        (row.source, Remote(**{name: getattr(row, name) for name in Remote.__dataclass_fields__}))
        for row in session.exec(query)
    ]


def remove_of_gone_requests(session: Session) -> None:
    """Delete the names of traces that are no longer stored."""
    there = sa.exists().where(_REQUESTS.c.trace_id == _REMOTE.c.trace_id)
    session.connection().execute(sa.delete(_REMOTE).where(~there))


def _value(row: tables.Watermark) -> Watermark:
    return Watermark(**{name: getattr(row, name) for name in Watermark.__dataclass_fields__})
