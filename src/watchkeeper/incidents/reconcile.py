"""What the findings of a check mean for the incidents of its scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeVar

from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents.incident import Incident, dedup_key, move
from watchkeeper.incidents.runbook import filled

_ORDER = ("critical", "error", "warning", "info")
_Found = TypeVar("_Found", bound=Finding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a check answers for: where it finds nothing now, nothing is wrong now.

    Attributes:
        kinds: The kinds the check owns; empty when it could not look, so that nothing is resolved.
        subject: Only incidents with these labels; empty means every subject of those kinds.
    """

    kinds: frozenset[str]
    subject: Mapping[str, str] = field(default_factory=dict)

    def covers(self, incident: Incident) -> bool:
        """Whether the check may resolve the incident."""
        return incident.kind in self.kinds and all(incident.subject.get(k) == v for k, v in self.subject.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of one incident.

    Attributes:
        action: What happened to it.
        incident: As it is after the change.
        tell: Whether the channel's message changes: always on open and resolve, on an update only
            when the summary or the severity is another.
    """

    action: Literal["open", "update", "resolve"]
    incident: Incident
    tell: bool


def reconciled(
    findings: Sequence[Finding],
    open_incidents: Sequence[Incident],
    *,
    scope: Scope,
    now: datetime,
    first_moves: Mapping[str, str],
    ids: Mapping[str, str],
    actor: str,
) -> list[Transition]:
    """Findings that hold now against the open incidents; in the order of the dedup keys.

    Args:
        findings: Everything the check found; of two with one identity the more severe counts.
        open_incidents: Not resolved; those of other scopes are left alone.
        first_moves: Kind -> first move, for the kinds of the findings.
        ids: Dedup key -> id of the incident to open, for keys that have no open incident.
        actor: Who says so, e.g. "check_upgrade".
    """
    found = _by_key(findings)
    known = {incident.dedup_key: incident for incident in open_incidents}
    changes = []
    for key in sorted(found.keys() | known.keys()):
        finding, incident = found.get(key), known.get(key)
        if finding is not None and incident is None:
            changes.append(_opened(finding, key, ids[key], now, first_moves.get(finding.kind, "")))
        elif finding is not None and incident is not None:
            changes.append(_seen_again(incident, finding, now))
        elif incident is not None and scope.covers(incident):
            changes.append(resolution(incident, by=actor, now=now))
    return changes


def resolution(incident: Incident, *, by: str, now: datetime) -> Transition:
    """The end of an open incident.

    Raises:
        Conflict: If it cannot be resolved from where it is.
    """
    ended = replace(incident, status=move(incident.status, "resolved"), resolved_at=now, resolved_by=by)
    return Transition(action="resolve", incident=ended, tell=True)


def _by_key(findings: Sequence[_Found]) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for finding in findings:
        key = dedup_key(finding.kind, finding.subject)
        if key not in found or _ORDER.index(finding.severity) < _ORDER.index(found[key].severity):
            found[key] = finding
    return found


def _opened(finding: Finding, key: str, incident_id: str, now: datetime, first_move: str) -> Transition:
    incident = Incident(
        id=incident_id,
        kind=finding.kind,
        severity=finding.severity,
        status="firing",
        subject=dict(finding.subject),
        dedup_key=key,
        summary=finding.summary,
        first_move=filled(first_move, finding.subject),
        opened_at=now,
        last_seen_at=now,
        evidence=dict(finding.evidence),
        links=dict(finding.links),
    )
    return Transition(action="open", incident=incident, tell=True)


def _seen_again(incident: Incident, finding: Finding, now: datetime) -> Transition:
    seen = replace(
        incident,
        severity=finding.severity,
        summary=finding.summary,
        evidence=dict(finding.evidence),
        links=dict(finding.links),
        last_seen_at=max(now, incident.last_seen_at),
        occurrences=incident.occurrences + 1,
    )
    changed = (seen.summary, seen.severity) != (incident.summary, incident.severity)
    return Transition(action="update", incident=seen, tell=changed)
