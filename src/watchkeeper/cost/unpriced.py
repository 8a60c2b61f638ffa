"""When calls without a cost are worth telling somebody."""

from collections.abc import Sequence
from typing import Protocol

from watchkeeper.foundation.finding import Finding

WHY = {
    "unknown_model": "no price for that model",
    "no_usage": "no token counts",
    "suspect": "token counts that do not add up",
    "zero_price": "a list price of zero",
    None: "not looked up yet",
}
"""Reason -> in words."""


class Group(Protocol):
    """Calls of one model without a cost for one reason, as cost.store.UnpricedGroup."""

    @property
    def provider(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def detail(self) -> str | None: ...
    @property
    def calls(self) -> int: ...
    @property
    def failed(self) -> int: ...


def unpriced_findings(groups: Sequence[Group], total: int, *, least: int, share: float) -> list[Finding]:
    """One finding a model with many unpriced calls in the last day.

    A call that failed is left out: it reports no tokens and is rarely paid for.

    Args:
        total: All calls of the day.
        least: Calls of one model below which nobody is told.
        share: And their share of all calls, in [0, 1].
    """
    models: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.calls > group.failed:
            models.setdefault((group.provider or "", group.model or ""), []).append(group)
    findings = []
    for (provider, model), theirs in sorted(models.items()):
        count = sum(group.calls - group.failed for group in theirs)
        if count < least or count < share * total:
            continue
        reasons = {group.reason or "waiting": group.calls - group.failed for group in theirs}
        most = max(theirs, key=lambda group: group.calls - group.failed)
        name = f"{provider or '?'}/{model or '?'}"
        findings.append(
            Finding(
                kind="unpriced-calls",
                severity="warning",
                subject={"model": name},
                summary=f"{count} calls to {name} have no cost, of {total} calls of the last day: {WHY[most.reason]}.",
                evidence={"calls": count, "of": total, "reasons": reasons, "detail": most.detail},
            )
        )
    return findings
