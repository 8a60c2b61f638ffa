"""Look at budgets: facts in, findings out; what was told is remembered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from watchkeeper.budgets import store
from watchkeeper.budgets.assessment import HISTORY, Assessment, assess
from watchkeeper.budgets.behind import COLUMNS, Behind, behind, windows
from watchkeeper.budgets.budget import Budget
from watchkeeper.budgets.ledger import Ledger, ledger_of
from watchkeeper.budgets.memory import Memory, remembered
from watchkeeper.budgets.store import LastCheck
from watchkeeper.budgets.words import HOURS, findings, leading
from watchkeeper.database.engine import Store
from watchkeeper.facts import service as facts
from watchkeeper.facts.columns import FACTS
from watchkeeper.foundation.finding import Finding
from watchkeeper.stats.budget import Verdict
from watchkeeper.stats.spend import midnight_of

_BASE = ("started_at", "source", "cost_nano_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One budget after a check.

    Attributes:
        news: Thresholds that were reached since the last check.
        memory: To be kept once the findings are handed on.
        reasons: Hours -> what is behind the spend of the last so many hours; of the findings' windows.
    """

    now: Assessment
    news: tuple[float, ...]
    memory: Memory
    findings: Sequence[Finding]
    reasons: dict[int, Behind]

    @property
    def verdict(self) -> Verdict:
        """Exceeded when the limit is reached, burning while any other rule holds."""
        if "limit" in self.memory.held:
            return "exceeded"
        return "burning" if self.memory.held else "within"


def check(opened: Store, folder: Path, budgets: Sequence[Budget], *, now: datetime) -> list[Checked]:
    """Look at every budget. Nothing is remembered until `keep`.

    Args:
        folder: Where the facts are written.

    Raises:
        NotFound: If a budget's `where` names no label.
        StoreFailed: If the store or the facts cannot be read.
    """
    with opened.read() as session:
        known = store.memories(session)
    found = []
    for budget in budgets:
        seen = assess(budget, _ledger(opened, folder, budget, now))
        memory, news = remembered(known.get(budget.name, Memory()), seen)
        reasons = {
            hours: _behind(opened, folder, budget, now, hours)
            for hours in {HOURS[rule] for rule in leading(memory) if rule}
        }
        found.append(
            Checked(now=seen, news=news, memory=memory, findings=findings(seen, memory, reasons), reasons=reasons)
        )
    return found


def keep(opened: Store, checked: Sequence[Checked]) -> None:
    """Remember a check, once what it found is handed on: before, a crash would leave it untold."""
    with opened.write() as session:
        for each in checked:
            now = each.now
            last = LastCheck(
                checked_at=now.at, spent_nano_usd=now.spent_nano_usd, unpriced=now.unpriced, verdict=each.verdict
            )
            store.remember(session, now.budget.name, each.memory, last)


def last_checks(opened: Store) -> dict[str, LastCheck]:
    """Budget -> what its last check said; of budgets that were removed too."""
    with opened.read() as session:
        return store.last_checks(session)


def forget(opened: Store, name: str) -> None:
    """Nothing is remembered of a budget that is no more."""
    with opened.write() as session:
        store.forget(session, name)


def _ledger(opened: Store, folder: Path, budget: Budget, now: datetime) -> Ledger:
    today = midnight_of(now.astimezone(budget.zone).date(), budget.zone)
    since = min(budget.term(now).starts, today - HISTORY)
    of_requests = set(budget.where) <= set(FACTS["requests"].labels)
    rows = facts.read(
        opened,
        folder,
        "requests" if of_requests else "calls",
        since,
        now + timedelta(microseconds=1),
        columns=[*_BASE, *(["unpriced"] if of_requests else [])],
        where=budget.where,
    )
    return ledger_of(rows, now=now, zone=budget.zone, spend=budget.spend)


def _behind(opened: Store, folder: Path, budget: Budget, now: datetime, hours: int) -> Behind:
    after, before = (
        facts.read(opened, folder, "calls", since, until, columns=COLUMNS, where=budget.where)
        for since, until in windows(now, hours)
    )
    return behind(after, before, hours=hours, spend=budget.spend)
