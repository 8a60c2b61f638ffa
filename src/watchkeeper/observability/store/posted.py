"""Feedback and the ends of jobs, which come by themselves, perhaps before their request."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.foundation.clock import as_utc
from watchkeeper.observability import tables
from watchkeeper.observability.request import Feedback, Request
from watchkeeper.observability.store.statements import insert, slices, time_of
from watchkeeper.observability.store.touched import touch

_META = tables.PostedFeedback.metadata.tables
_POSTED, _RESOLUTIONS, _REQUESTS = _META["posted_feedback"], _META["resolutions"], _META["requests"]


def add_feedback(session: Session, key: str, trace_id: str, said: Feedback, *, now: datetime) -> None:
    """Keep one feedback under its key; known already, nothing changes."""
    columns = ("id", "trace_id", "kind", "value", "comment", "at", "received_at")
    time = time_of(session)
    at = None if said.at is None else time(said.at)
    row = (key, trace_id, said.kind, json.dumps(said.value, ensure_ascii=False), said.comment, at, time(now))
    insert(session, _POSTED, columns, [row], replacing=False)
    touch(session, session.execute(sa.select(_REQUESTS.c.started_at).where(_REQUESTS.c.trace_id == trace_id)).scalars())


def with_posted_feedback(session: Session, requests: Sequence[Request]) -> list[Request]:
    """The requests with the feedback that came by itself: a trace's oldest request gets it."""
    c = _POSTED.c
    posted: dict[str, list[Feedback]] = {}
    for some in slices(sorted({r.trace_id for r in requests})):
        for row in session.execute(sa.select(_POSTED).where(c.trace_id.in_(some)).order_by(c.received_at, c.id)):
            said = Feedback(
                kind=row.kind,
                value=None if row.value is None else json.loads(row.value),
                comment=row.comment,
                at=None if row.at is None else as_utc(row.at),
            )
            posted.setdefault(row.trace_id, []).append(said)
    made = []
    for r in requests:
        mine = [said for said in posted.pop(r.trace_id, ()) if said not in r.feedback]
        made.append(replace(r, feedback=[*r.feedback, *mine]) if mine else r)
    return made


def set_resolution(session: Session, job_id: str, *, resolved: bool, at: datetime) -> None:
    """Remember how a job ended, unless something later is known."""
    c = _RESOLUTIONS.c
    known = session.execute(sa.select(c.at).where(c.job_id == job_id)).scalar_one_or_none()
    if known is None or at >= known:
        row = (job_id, resolved, time_of(session)(at))
        insert(session, _RESOLUTIONS, ("job_id", "resolved", "at"), [row])


def resolution(session: Session, job_id: str) -> tuple[bool, datetime] | None:
    """How a job ended and when, or None when nobody said."""
    c = _RESOLUTIONS.c
    row = session.execute(sa.select(c.resolved, c.at).where(c.job_id == job_id)).one_or_none()
    return None if row is None else (bool(row[0]), as_utc(row[1]))
