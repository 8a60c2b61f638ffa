"""An incident's life: one thing that is wrong, from its first finding to its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, get_args

from watchkeeper.foundation.errors import Conflict, NotFound
from watchkeeper.foundation.finding import Severity
from watchkeeper.foundation.ids import short_hash

Status = Literal["pending", "firing", "acknowledged", "silenced", "resolved"]
STATUSES: tuple[Status, ...] = get_args(Status)

# Resolved is the end: the same trouble later is a new incident, with its own opening and message.
ALLOWED: dict[Status, frozenset[Status]] = {
    "pending": frozenset({"firing", "resolved"}),
    "firing": frozenset({"acknowledged", "silenced", "resolved"}),
    "acknowledged": frozenset({"firing", "silenced", "resolved"}),
    "silenced": frozenset({"firing", "acknowledged", "resolved"}),
    "resolved": frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident as it is known now.

    Attributes:
        id: 26 hex digits; a unique beginning of it is enough in commands.
        subject: What it is about, as labels; with the kind it is the identity.
        dedup_key: Equal for findings of one incident; see `dedup_key`.
        summary: One sentence with the numbers of the newest finding.
        first_move: The runbook's first move, its placeholders filled from the subject.
        occurrences: How many times a check found it, the first included.
        evidence: JSON of the newest finding.
        links: Title -> path of a page of this installation.
        acknowledged_by: Who took it, or None while nobody has.
        resolved_by: Who or which check ended it, or None while it is open.
        slack_channel: Channel id of its message, or None before it was posted.
        slack_ts: The message's timestamp there, or None before it was posted.
    """

    id: str
    kind: str
    severity: Severity
    status: Status
    subject: Mapping[str, str]
    dedup_key: str
    summary: str
    first_move: str
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None = None
    occurrences: int = 1
    evidence: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_by: str | None = None
    slack_channel: str | None = None
    slack_ts: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of an incident's history.

    Attributes:
        what: opened, seen, changed, acknowledged, resolved or posted.
        who: The check or the person.
        detail: What a reader should know besides; may be empty.
    """

    at: datetime
    what: str
    who: str
    detail: str


def dedup_key(kind: str, subject: Mapping[str, str]) -> str:
    """The identity of an incident: its kind and a hash of its labels, never a measured value."""
    return f"{kind}:{short_hash(sorted(subject.items()))}"


def move(status: Status, to: Status) -> Status:
    """The status after a step; a step to where it is already changes nothing.

    Raises:
        Conflict: If an incident in `status` cannot become `to`.
    """
    if status == to or to in ALLOWED[status]:
        return to
    raise Conflict(f"the incident is {status} and cannot become {to}; see the open ones: watchkeeper incidents list")


def acknowledgement(incident: Incident, *, by: str, now: datetime) -> Incident:
    """The incident in somebody's hands.

    Raises:
        Conflict: If it is over.
    """
    return replace(incident, status=move(incident.status, "acknowledged"), acknowledged_at=now, acknowledged_by=by)


def status_named(name: str) -> Status:
    """The status of that name.

    Raises:
        NotFound: If there is none.
    """
    for status in STATUSES:
        if status == name:
            return status
    raise NotFound("status", name, STATUSES)
