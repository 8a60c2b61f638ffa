"""What a check returns: something that holds now and that somebody should know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "error", "warning", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that holds now.

    Attributes:
        kind: An incident kind, e.g. "model-regressed"; the runbook page has the same name.
        severity: PagerDuty's four words.
        subject: What it is about, as labels, e.g. {"route": "support.answer"}. Together with the
            kind it is the identity of the incident, so it never holds a measured value.
        summary: One sentence for people, with the numbers.
        evidence: JSON values that support it; shown on the incident's page.
        links: Title and path of pages of this installation, e.g. {"Run": "/runs/018f…"}.
    """

    kind: str
    severity: Severity
    subject: Mapping[str, str]
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
