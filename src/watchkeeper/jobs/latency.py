"""Check latencies and timeouts; what is found becomes incidents."""

from dataclasses import dataclass

from watchkeeper.app import App, runbook_shelf
from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.latency import service as latency
from watchkeeper.latency.check import Checked
from watchkeeper.latency.words import findings

KINDS = frozenset({"latency-regression", "timeouts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """A check, and the findings it made."""

    checked: Checked
    findings: list[Finding]


def check_latency(app: App) -> LatencyReport:
    """Look at every stream and make the incidents agree.

    Raises:
        StoreFailed: If the store or the facts cannot be read or written.
    """
    section = app.settings.latency
    now = app.clock.now()
    checked = latency.check(
        app.store, app.settings.store.facts, now=now, ratio=section.ratio, per_day=section.requests_per_day
    )
    found = findings(checked)
    incidents.reconcile(
        app.store,
        found,
        scope=Scope(kinds=KINDS),
        now=now,
        first_moves=runbook_shelf(app.settings),
        actor="check_latency",
    )
    latency.keep(app.store, checked)
    return LatencyReport(checked=checked, findings=found)
