"""Check the budgets of the configuration; what is found becomes incidents, thresholds become messages."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from watchkeeper.app import App, runbook_shelf
from watchkeeper.budgets import service as budgets
from watchkeeper.budgets.budget import Budget
from watchkeeper.budgets.service import Checked
from watchkeeper.budgets.words import threshold_notice
from watchkeeper.foundation.clock import parse_age
from watchkeeper.foundation.errors import NotFound, NothingToCheck
from watchkeeper.foundation.money import nano_usd
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.sections import BudgetSettings
from watchkeeper.settings import Settings

KINDS = frozenset({"budget-burn", "cost-spike"})
NO_BUDGET = (
    "no budget is configured; write into watchkeeper.toml, for example: "
    '[[budgets]] name = "all" period = "month" limit_usd = 3000'
)
_ACTOR = "check_budgets"
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def check_budgets(app: App, names: Sequence[str] = ()) -> list[Checked]:
    """Look at these budgets, or at all; make the incidents agree and tell the thresholds that were reached.

    Args:
        names: Of budgets; none means all.

    Raises:
        NotFound: If one of the names is no budget.
        StoreFailed: If the store or the facts cannot be read or written.
    """
    known = {each.name: each for each in budgets_of(app.settings)}
    for name in names:
        if name not in known:
            raise NotFound("budget", name, list(known), where="in [[budgets]] of watchkeeper.toml")
    chosen = [known[name] for name in dict.fromkeys(names)] or list(known.values())
    checked = budgets.check(app.store, app.settings.store.facts, chosen, now=app.clock.now())
    for each in checked:
        _tell(app, each)
    budgets.keep(app.store, checked)
    _close_removed(app, set(known))
    return checked


def demand_budgets(app: App) -> None:
    """Stop a command that has nothing to look at.

    Raises:
        NothingToCheck: If no budget is configured.
    """
    if not app.settings.budgets:
        raise NothingToCheck(NO_BUDGET)


def budgets_of(settings: Settings) -> list[Budget]:
    """The budgets of the configuration."""
    return [_budget(section) for section in settings.budgets]


def _budget(section: BudgetSettings) -> Budget:
    return Budget(
        name=section.name,
        period=section.period if section.period in ("day", "week", "month") else parse_age(section.period),  # type: ignore[arg-type]
        limit_nano_usd=nano_usd(section.limit_usd),
        where={label: value or None for label, value in section.where.items()},
        zone=ZoneInfo(section.timezone),
        week_start=_DAYS.index(section.week_start),
        spend=section.spend,
        thresholds=tuple(section.thresholds),
        least_nano_usd=nano_usd(section.alert_usd),
    )


def _tell(app: App, checked: Checked) -> None:
    now = checked.now
    incidents.reconcile(
        app.store,
        checked.findings,
        scope=Scope(kinds=KINDS, subject={"budget": now.budget.name}),
        now=now.at,
        first_moves=runbook_shelf(app.settings),
        actor=_ACTOR,
    )
    # Of several reached at once the highest says it all; the limit itself is an incident.
    if checked.news and (threshold := checked.news[-1]) != 1:
        key, summary = threshold_notice(now, threshold)
        incidents.notice(app.store, key=key, summary=summary, now=now.at)


def _close_removed(app: App, names: set[str]) -> None:
    """A budget that is no longer configured has no open incident."""
    for name in sorted(set(budgets.last_checks(app.store)) - names):
        incidents.reconcile(
            app.store,
            [],
            scope=Scope(kinds=KINDS, subject={"budget": name}),
            now=app.clock.now(),
            first_moves=runbook_shelf(app.settings),
            actor=_ACTOR,
        )
        budgets.forget(app.store, name)
