"""Reads and writes of incidents, their history and the outbox; the only file that queries them."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm
from sqlmodel import Session, col, select

from watchkeeper.foundation.ids import new_id
from watchkeeper.foundation.lease import is_gone
from watchkeeper.incidents import tables
from watchkeeper.incidents.channel import Posted
from watchkeeper.incidents.incident import AuditEvent, Incident, Status
from watchkeeper.incidents.outbox import Claimed, Failure, OutboxState

_FIELDS = tuple(f.name for f in fields(Incident))
_WAITING = ("pending", "sending")


def open_incidents(session: Session, *, kinds: Collection[str], keys: Collection[str]) -> list[Incident]:
    """Not resolved, of these kinds or with these dedup keys; locked until the transaction ends."""
    query = (
        select(tables.Incident)
        .where(col(tables.Incident.resolved_at).is_(None))
        .where(sa.or_(col(tables.Incident.kind).in_(kinds), col(tables.Incident.dedup_key).in_(keys)))
        .order_by(tables.Incident.id)  # one order for everybody, or two lockers could wait for each other
        .with_for_update()
    )
    return [_incident(row) for row in session.exec(query)]


def incidents(session: Session, *, status: Status | None, limit: int) -> list[Incident]:
    """The newest first."""
    query = select(tables.Incident).order_by(col(tables.Incident.opened_at).desc(), col(tables.Incident.id).desc())
    if status is not None:
        query = query.where(tables.Incident.status == status)
    return [_incident(row) for row in session.exec(query.limit(limit))]


def open_counts(session: Session) -> dict[tuple[str, str], int]:
    """How many incidents are not resolved, by kind and severity."""
    labels = (col(tables.Incident.kind), col(tables.Incident.severity))
    query = sa.select(*labels, sa.func.count()).where(col(tables.Incident.resolved_at).is_(None)).group_by(*labels)
    return {(kind, severity): count for kind, severity, count in session.execute(query)}


def incidents_by_prefix(session: Session, prefix: str, *, lock: bool = False) -> list[Incident]:
    """At most two incidents whose id begins so: two mean that the beginning is not unique."""
    query = select(tables.Incident).where(col(tables.Incident.id).startswith(prefix, autoescape=True)).limit(2)
    return [_incident(row) for row in session.exec(query.with_for_update() if lock else query)]


def newest_ids(session: Session, *, limit: int) -> list[str]:
    """Ids of the newest incidents."""
    return list(session.exec(select(tables.Incident.id).order_by(col(tables.Incident.opened_at).desc()).limit(limit)))


def save(session: Session, incident: Incident) -> None:
    """Insert or replace an incident.

    Raises:
        IntegrityError: If another incident is open for the key; the store makes a Conflict of it.
    """
    session.merge(tables.Incident(**{name: _plain(getattr(incident, name)) for name in _FIELDS}))
    session.flush()


def add_event(session: Session, incident_id: str, event: AuditEvent) -> None:
    """Append to an incident's history."""
    session.add(
        tables.IncidentEvent(incident_id=incident_id, at=event.at, what=event.what, who=event.who, detail=event.detail)
    )


def events(session: Session, incident_id: str) -> list[AuditEvent]:
    """An incident's history, oldest first."""
    query = select(tables.IncidentEvent).where(tables.IncidentEvent.incident_id == incident_id)
    found = session.exec(query.order_by(col(tables.IncidentEvent.id)))
    return [AuditEvent(at=row.at, what=row.what, who=row.who, detail=row.detail) for row in found]


def queue_incident(session: Session, incident_id: str, *, now: datetime) -> None:
    """See to it that the channel is told of the incident as it is now.

    The caller holds the incident's lock. A pending row is rendered when it is sent, so it will tell
    this change too; one that is being sent may have been rendered before.
    """
    rows = select(tables.Delivery).where(tables.Delivery.incident_id == incident_id)
    known = list(session.exec(rows.order_by(col(tables.Delivery.seq))))
    if any(row.status == "pending" for row in known):
        return
    seq = known[-1].seq + 1 if known else 1
    session.add(
        tables.Delivery(
            id=new_id(),
            incident_id=incident_id,
            seq=seq,
            action="update" if known else "post",
            key=f"{incident_id}:{seq}",
            created_at=now,
        )
    )


def queue_notice(session: Session, key: str, payload: dict[str, Any], *, now: datetime) -> bool:
    """Queue a message of its own; False when that key was queued before."""
    key = f"notice:{key}"
    if session.exec(select(tables.Delivery.id).where(tables.Delivery.key == key)).first() is not None:
        return False
    session.add(
        tables.Delivery(id=new_id(), incident_id=None, seq=0, action="post", key=key, payload=payload, created_at=now)
    )
    session.flush()
    return True


def waiting(session: Session) -> list[tuple[str, Incident | None, dict[str, Any] | None]]:
    """Every row not sent, in order: its id, and its incident or what its notice says."""
    query = (
        select(tables.Delivery, tables.Incident)
        .join(tables.Incident, col(tables.Incident.id) == col(tables.Delivery.incident_id), isouter=True)
        .where(col(tables.Delivery.status).in_(_WAITING))
        .order_by(col(tables.Delivery.created_at), col(tables.Delivery.id))
    )
    return [(row.id, _incident(of) if of is not None else None, row.payload) for row, of in session.exec(query)]


def outbox_state(session: Session) -> OutboxState:
    """Counts, and the newest error of a row that waits."""
    by_status = sa.select(col(tables.Delivery.status), sa.func.count()).group_by(col(tables.Delivery.status))
    counts: dict[str, int] = {row[0]: row[1] for row in session.execute(by_status)}
    error = session.exec(
        select(tables.Delivery.last_error)
        .where(col(tables.Delivery.status).in_(_WAITING), col(tables.Delivery.last_error).is_not(None))
        .order_by(col(tables.Delivery.created_at).desc())
        .limit(1)
    ).first()
    return OutboxState(
        waiting=sum(counts.get(s, 0) for s in _WAITING), failed=counts.get("failed", 0), last_error=error
    )


def claim_next(
    session: Session,
    *,
    owner: str,
    target: str,
    now: datetime,
    lease: timedelta,
    insist: bool,
    but_not: Collection[str],
) -> Claimed | None:
    """Take the next row that may be sent now, or None. Rows of one incident go in their order.

    Args:
        target: The channel as configured.
        insist: Try now what waits after trouble or a refusal; a rate limit is kept all the same.
        but_not: Ids to leave alone.
    """
    for row in _candidates(session, now=now, insist=insist):
        being_sent = row.owner is not None and row.claimed_until is not None and row.claimed_until > now
        if row.id in but_not or (being_sent and not is_gone(row.owner or "")):
            continue
        taken = session.execute(
            sa.update(tables.Delivery)
            .where(col(tables.Delivery.id) == row.id, col(tables.Delivery.status) == row.status)
            # `tries` grows with every claim: of two that saw the same row only one meets it unchanged.
            .where(col(tables.Delivery.tries) == row.tries)
            .values(
                status="sending",
                owner=owner,
                claimed_until=now + lease,
                tries=row.tries + 1,
                first_tried_at=row.first_tried_at or now,
                target=target,
            )
            .execution_options(synchronize_session=False)
        )
        if taken.rowcount == 1:  # type: ignore[attr-defined]
            return _claimed(session, row, target=target, now=now)
    return None


def mark_sent(session: Session, claimed: Claimed, posted: Posted, *, owner: str, now: datetime) -> bool:
    """Store that the channel has it and where; False when another sender has taken the row over."""
    if not _release(session, claimed.id, owner, status="sent", channel=posted.channel, ts=posted.ts, sent_at=now,
                    last_error=None, not_before=None, held_by=None):  # fmt: skip
        return False
    if claimed.incident is not None:
        session.execute(
            sa.update(tables.Incident)
            .where(col(tables.Incident.id) == claimed.incident.id)
            .values(slack_channel=posted.channel, slack_ts=posted.ts)
        )
    return True


def mark_failed(session: Session, claimed: Claimed, failure: Failure, *, owner: str) -> None:
    """Give the row back, or up; when the channel itself failed every other row waits as long."""
    _release(session, claimed.id, owner, status=failure.status, not_before=failure.not_before,
             held_by=failure.held_by, last_error=failure.error)  # fmt: skip
    if failure.everything:
        due = sa.or_(col(tables.Delivery.not_before).is_(None), col(tables.Delivery.not_before) < failure.not_before)
        session.execute(
            sa.update(tables.Delivery)
            .where(col(tables.Delivery.status).in_(_WAITING), col(tables.Delivery.owner).is_(None), due)
            .values(not_before=failure.not_before, held_by=failure.held_by)
        )


def _candidates(session: Session, *, now: datetime, insist: bool) -> Sequence[tables.Delivery]:
    earlier = sa.orm.aliased(tables.Delivery)
    blocked = (
        sa.exists()
        .where(col(earlier.incident_id) == col(tables.Delivery.incident_id))
        .where(col(earlier.seq) < col(tables.Delivery.seq))
        .where(col(earlier.status).in_(_WAITING))
    )
    due = sa.or_(col(tables.Delivery.not_before).is_(None), col(tables.Delivery.not_before) <= now)
    if insist:
        due = sa.or_(due, col(tables.Delivery.held_by) != "rate-limit")
    query = (
        select(tables.Delivery)
        .where(col(tables.Delivery.status).in_(_WAITING), due, ~blocked)
        .order_by(col(tables.Delivery.created_at), col(tables.Delivery.id))
        .limit(50)
    )
    return session.exec(query).all()


def _claimed(session: Session, row: tables.Delivery, *, target: str, now: datetime) -> Claimed:
    incident = None
    if row.incident_id is not None:
        # Locked: a change that is being made now is either seen here or queues a row of its own.
        query = select(tables.Incident).where(tables.Incident.id == row.incident_id).with_for_update()
        incident = _incident(session.exec(query).one())
    channel_id = session.exec(
        select(tables.Delivery.channel)
        .where(tables.Delivery.target == target, col(tables.Delivery.channel).is_not(None))
        .order_by(col(tables.Delivery.sent_at).desc())
        .limit(1)
    ).first()
    return Claimed(
        id=row.id,
        key=row.key,
        action=row.action,
        recovering=row.status == "sending",
        first_tried_at=row.first_tried_at or now,
        tries=row.tries + 1,
        incident=incident,
        payload=row.payload,
        channel_id=channel_id,
    )


def _release(session: Session, delivery_id: str, owner: str, **values: Any) -> bool:
    done = session.execute(
        sa.update(tables.Delivery)
        .where(col(tables.Delivery.id) == delivery_id, col(tables.Delivery.owner) == owner)
        .values(owner=None, claimed_until=None, **values)
        .execution_options(synchronize_session=False)
    )
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


def _incident(row: tables.Incident) -> Incident:
    return Incident(**{name: getattr(row, name) for name in _FIELDS})


def _plain(value: Any) -> Any:
    # Mappings of our values may be of any type; JSON columns want a dict.
    return dict(value) if isinstance(value, dict) else value
