"""An incident as programs read it, and a row of the outbox as people do."""

from collections.abc import Mapping
from typing import Any

from watchkeeper.foundation.clock import format_time
from watchkeeper.incidents.incident import Incident
from watchkeeper.incidents.message import Message, incident_message, notice_message
from watchkeeper.incidents.runbook import runbook_url


def as_document(incident: Incident, *, base_url: str, runbooks_url: str = "") -> dict[str, Any]:
    """INTERFACES section 7, key for key."""
    return {
        "id": incident.id,
        "kind": incident.kind,
        "severity": incident.severity,
        "status": incident.status,
        "subject": dict(incident.subject),
        "dedup_key": incident.dedup_key,
        "summary": incident.summary,
        "first_move": incident.first_move,
        "runbook_url": _runbook(incident, base_url, runbooks_url),
        "opened_at": format_time(incident.opened_at),
        "last_seen_at": format_time(incident.last_seen_at),
        "resolved_at": format_time(incident.resolved_at) if incident.resolved_at else None,
        "occurrences": incident.occurrences,
        "evidence": dict(incident.evidence),
        "slack": {"channel": incident.slack_channel, "ts": incident.slack_ts},
    }


def message_of(
    incident: Incident | None, payload: Mapping[str, Any] | None, base_url: str, runbooks_url: str
) -> Message:
    """The message of an incident, or of the notice that `payload` holds when there is none."""
    if incident is not None:
        return incident_message(incident, base_url=base_url, runbook=_runbook(incident, base_url, runbooks_url))
    told = payload or {}
    return notice_message(
        summary=told.get("summary", ""), lines=told.get("lines", []), links=told.get("links", {}), base_url=base_url
    )


def _runbook(incident: Incident, base_url: str, runbooks_url: str) -> str:
    return runbook_url(incident.kind, runbooks_url=runbooks_url, base_url=base_url, incident_id=incident.id)
