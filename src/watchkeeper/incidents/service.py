"""Findings become incidents, incidents become messages, messages reach the channel."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from watchkeeper.database.engine import Store
from watchkeeper.foundation.clock import Clock
from watchkeeper.foundation.errors import Conflict, Misconfigured, NotFound
from watchkeeper.foundation.finding import Finding
from watchkeeper.foundation.ids import new_id
from watchkeeper.foundation.lease import new_owner
from watchkeeper.incidents import store
from watchkeeper.incidents.channel import Channel, Posted
from watchkeeper.incidents.delivery import Delivery
from watchkeeper.incidents.document import message_of
from watchkeeper.incidents.incident import AuditEvent, Incident, acknowledgement, dedup_key, status_named
from watchkeeper.incidents.message import Message
from watchkeeper.incidents.mrkdwn import clean
from watchkeeper.incidents.outbox import LEASE, Claimed, DeliveryReport, Failure, OutboxState, Waiting
from watchkeeper.incidents.plain import render_plain
from watchkeeper.incidents.reconcile import Scope, Transition, reconciled, resolution
from watchkeeper.incidents.runbook import RunbookShelf, first_move_of

_RACES = 8
_EVENTS = {"open": "opened", "update": "seen", "resolve": "resolved"}
_T = TypeVar("_T")


def reconcile(
    opened: Store,
    findings: Sequence[Finding],
    *,
    scope: Scope,
    now: datetime,
    first_moves: Mapping[str, str] | RunbookShelf,
    actor: str = "check",
) -> list[Transition]:
    """Make the incidents of a scope agree with what was found: opened, seen again, or resolved.

    Incident, history and outbox change in one transaction; of processes that race one opens.

    Args:
        findings: Everything that holds now in the scope.
        scope: What the check answers for; its open incidents that were not found are resolved.
        first_moves: Kind -> first move, or the runbooks that say it.
        actor: Who says so, for the history.

    Returns:
        The changes, in the order of their dedup keys.

    Raises:
        StoreFailed: If the store cannot be written; nothing is changed then.
    """
    findings = [replace(finding, summary=clean(finding.summary)) for finding in findings]
    keys = {dedup_key(finding.kind, finding.subject) for finding in findings}
    if not keys and not scope.kinds:
        return []
    moves = {finding.kind: first_move_of(first_moves, finding.kind) for finding in findings}

    def once() -> list[Transition]:
        with opened.write() as session:
            changes = reconciled(
                findings,
                store.open_incidents(session, kinds=scope.kinds, keys=keys),
                scope=scope,
                now=now,
                first_moves=moves,
                ids={key: new_id() for key in keys},
                actor=actor,
            )
            for change in changes:
                what = "changed" if change.action == "update" and change.tell else _EVENTS[change.action]
                store.save(session, change.incident)
                store.add_event(
                    session,
                    change.incident.id,
                    AuditEvent(at=now, what=what, who=actor, detail=change.incident.summary if change.tell else ""),
                )
                if change.tell:
                    store.queue_incident(session, change.incident.id, now=now)
            return changes

    return _first_to_win(once)


def notice(
    opened: Store,
    *,
    key: str,
    summary: str,
    lines: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    now: datetime,
) -> bool:
    """Queue a message that is no incident, e.g. a passing upgrade.

    Args:
        key: Equal for notices that say the same thing.
        links: Title -> path of a page of this installation.

    Returns:
        False when that key was queued before: it is not said twice.
    """
    payload = {"summary": clean(summary), "lines": [clean(line) for line in lines], "links": dict(links or {})}

    def once() -> bool:
        with opened.write() as session:
            return store.queue_notice(session, key, payload, now=now)

    return _first_to_win(once)


def list_incidents(opened: Store, *, status: str | None = None, limit: int = 100) -> list[Incident]:
    """The newest incidents first.

    Raises:
        NotFound: If there is no such status.
    """
    with opened.read() as session:
        return store.incidents(session, status=status_named(status) if status else None, limit=limit)


def open_counts(opened: Store) -> dict[tuple[str, str], int]:
    """How many incidents are not resolved, by kind and severity."""
    with opened.read() as session:
        return store.open_counts(session)


def show(opened: Store, incident_id: str) -> Incident:
    """One incident, by its id or a unique beginning of it.

    Raises:
        NotFound: If none or more than one begins so.
    """
    with opened.read() as session:
        return _one(session, incident_id)


def history(opened: Store, incident_id: str) -> list[AuditEvent]:
    """What happened to an incident, oldest first. Takes the full id."""
    with opened.read() as session:
        return store.events(session, incident_id)


def acknowledge(opened: Store, incident_id: str, *, who: str, now: datetime) -> Incident:
    """Somebody has it; a second time changes nothing.

    Raises:
        NotFound: If none or more than one begins so.
        Conflict: If it is resolved.
    """
    return _by_hand(opened, incident_id, who=who, now=now, what="acknowledged", step=acknowledgement)


def resolve(opened: Store, incident_id: str, *, who: str, now: datetime) -> Incident:
    """It is over, says a person; a second time changes nothing. Found again, it opens anew.

    Raises:
        NotFound: If none or more than one begins so.
    """
    return _by_hand(opened, incident_id, who=who, now=now, what="resolved", step=_over)


def render(opened: Store, incident_id: str, *, base_url: str, runbooks_url: str = "") -> str:
    """The incident's message as text, as the channel shows it."""
    return render_plain(message_of(show(opened, incident_id), None, base_url, runbooks_url))


def outbox_state(opened: Store) -> OutboxState:
    """How many messages wait, how many were given up, and what went wrong last."""
    with opened.read() as session:
        return store.outbox_state(session)


def deliver(
    opened: Store,
    channel: Channel | None,
    *,
    base_url: str,
    clock: Clock,
    runbooks_url: str = "",
    insist: bool = False,
    pause: Callable[[float], None] = time.sleep,
) -> DeliveryReport:
    """Send what waits, oldest first, each incident's messages in their order.

    A row is stored as `sending` before the call. When the answer is lost the next delivery looks for
    the message in the channel's history by its key and posts again only when it is not there. Where
    the history may not be read it posts again: at least once, possibly twice, and the report says so.

    Args:
        channel: Where to, or None: then everything keeps waiting and the report shows it.
        base_url: How people reach this installation's pages.
        runbooks_url: Where runbooks are published; empty: this installation's own pages.
        insist: Try now what waits after trouble or a refusal, because a person asked.
        pause: Waits a rate limit out, in seconds.

    Raises:
        StoreFailed: If the store cannot be read or written; rows being sent are looked up next time.
    """
    if channel is None:
        messages = _waiting_messages(opened, base_url, runbooks_url)
        return DeliveryReport(sent=0, waiting=outbox_state(opened).waiting, failed=0, messages=messages)

    def render(claimed: Claimed) -> Message:
        return message_of(claimed.incident, claimed.payload, base_url, runbooks_url)

    delivery = Delivery(channel=channel, render=render, clock=clock, pause=pause)
    delivery.run(_StoredOutbox(opened=opened, target=channel.name, clock=clock, insist=insist, sender=new_owner()))
    return DeliveryReport(
        sent=delivery.sent,
        waiting=outbox_state(opened).waiting,
        failed=delivery.given_up,
        problems=tuple(delivery.problems),
        refused=delivery.refused,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredOutbox:
    """The outbox in the store, as one sender sees it."""

    opened: Store
    target: str
    clock: Clock
    insist: bool
    sender: str

    def claim(self, *, but_not: Collection[str]) -> Claimed | None:
        with self.opened.write() as session:
            return store.claim_next(
                session,
                owner=self.sender,
                target=self.target,
                now=self.clock.now(),
                lease=LEASE,
                insist=self.insist,
                but_not=but_not,
            )

    def sent(self, claimed: Claimed, posted: Posted) -> None:
        now = self.clock.now()
        with self.opened.write() as session:
            ours = store.mark_sent(session, claimed, posted, owner=self.sender, now=now)
            if ours and claimed.incident is not None and claimed.action == "post":
                event = AuditEvent(at=now, what="posted", who="deliver", detail=f"{posted.channel} {posted.ts}")
                store.add_event(session, claimed.incident.id, event)

    def failed(self, claimed: Claimed, failure: Failure) -> None:
        with self.opened.write() as session:
            store.mark_failed(session, claimed, failure, owner=self.sender)


def _waiting_messages(opened: Store, base_url: str, runbooks_url: str) -> tuple[Waiting, ...]:
    with opened.read() as session:
        rows = store.waiting(session)
    # Several rows of one incident would tell the same: its newest state.
    last = {(incident.id if incident else row): (row, incident, payload) for row, incident, payload in rows}
    return tuple(
        Waiting(delivery_id=row, text=render_plain(message_of(incident, payload, base_url, runbooks_url)))
        for row, incident, payload in last.values()
    )


def _by_hand(
    opened: Store, incident_id: str, *, who: str, now: datetime, what: str, step: Callable[..., Incident]
) -> Incident:
    who = " ".join(clean(who).split())
    if not who:
        raise Misconfigured("say who: --by NAME")
    with opened.write() as session:
        incident = _one(session, incident_id, lock=True)
        if incident.status == what:
            return incident
        changed = step(incident, by=who, now=now)
        store.save(session, changed)
        store.add_event(session, incident.id, AuditEvent(at=now, what=what, who=who, detail=""))
        store.queue_incident(session, incident.id, now=now)
        return changed


def _over(incident: Incident, *, by: str, now: datetime) -> Incident:
    return resolution(incident, by=by, now=now).incident


def _one(session: Any, incident_id: str, *, lock: bool = False) -> Incident:
    found = store.incidents_by_prefix(session, incident_id, lock=lock) if incident_id else []
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise NotFound("single incident", incident_id, [incident.id for incident in found])
    raise NotFound("incident", incident_id, store.newest_ids(session, limit=100))


def _first_to_win(once: Callable[[], _T]) -> _T:
    """Run a transaction again when another process moved first; then what it did is seen."""
    for _ in range(_RACES):
        with suppress(Conflict):
            return once()
    return once()
