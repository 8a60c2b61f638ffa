"""Is a budget kept, is money spent faster than usual, and when does it end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Literal

from watchkeeper.budgets.budget import Budget, Term
from watchkeeper.budgets.ledger import Ledger
from watchkeeper.foundation.money import NANO_PER_USD
from watchkeeper.stats.budget import Forecast, forecast
from watchkeeper.stats.spend import Burn, Expectation, History, Pressure, burn, expectation
from watchkeeper.stats.unit_cost import Spending, UnitCost, unit_cost

Rule = Literal["fast", "slow", "fast-volume", "slow-volume", "unit-cost", "forecast", "limit"]
SPIKES: Sequence[Rule] = ("fast", "fast-volume", "unit-cost", "slow", "slow-volume")
"""The rules about spending out of the ordinary; the first that holds says it best."""

_UNIT_WINDOW = timedelta(hours=6)
_UNIT_DAYS = 28
HISTORY = timedelta(days=57)
"""How far back is looked: what the forecast's error is measured on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What is usual, from the whole days before today; None where they are too few."""

    money: Expectation | None
    volume: Expectation | None
    days: Sequence[Spending]


@dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """One budget at one time.

    Attributes:
        spent_nano_usd: In the period so far, of what has a cost; exact.
        rows: Requests (or calls) in the period.
        unpriced: Calls of the period without a cost; what they cost is in no figure.
        crossed: Thresholds that are reached.
        money, volume: None with too little history to know what is usual.
        unit: As the others; of the last six hours.
        forecast: None for a rolling period, which has no end.
        rules: What holds now.
    """

    budget: Budget
    at: datetime
    term: Term
    spent_nano_usd: int
    rows: int
    unpriced: int
    money: Burn | None
    volume: Burn | None
    unit: UnitCost | None
    forecast: Forecast | None
    rules: frozenset[Rule]

    @cached_property
    def share(self) -> float:
        """Of the limit, spent."""
        return self.spent_nano_usd / self.budget.limit_nano_usd

    @property
    def crossed(self) -> tuple[float, ...]:
        """Thresholds that are reached."""
        return tuple(each for each in self.budget.thresholds if self.share >= each)


def usual_before(ledger: Ledger, zone_midnight: datetime) -> Usual:
    """What is usual, known since the last local midnight."""
    begins = [zone_midnight - timedelta(days=ago) for ago in range(_UNIT_DAYS, -1, -1)]
    days = [ledger.spending(one, following) for one, following in pairwise(begins)]
    return Usual(money=expectation(ledger.money()), volume=expectation(ledger.volume()), days=days)


def assess(budget: Budget, ledger: Ledger, usual: Usual | None = None) -> Assessment:
    """Look at one budget as of the ledger's `now`.

    Args:
        ledger: Of the period, and of as much of `HISTORY` before it as there is.
        usual: Of `usual_before` today; None works it out.
    """
    now = ledger.now
    money, volume = ledger.money(), ledger.volume()
    usual = usual or usual_before(ledger, money.midnight())
    term = budget.term(now)
    spent = ledger.since(term.starts, "nano")
    burns = _burn(money, usual.money), _burn(volume, usual.volume)
    unit = unit_cost(ledger.spending(now - _UNIT_WINDOW, now), usual.days)
    ahead = _ahead(budget, money, usual.money, term, spent)
    return Assessment(
        budget=budget,
        at=now,
        term=term,
        spent_nano_usd=spent,
        rows=ledger.since(term.starts, "rows"),
        unpriced=ledger.since(term.starts, "unpriced"),
        money=burns[0],
        volume=burns[1],
        unit=unit,
        forecast=ahead,
        rules=frozenset(
            [
                *_spikes(budget, *burns),
                *_dearer(budget, ledger, unit),
                *_ending(budget, ahead, spent),
            ]
        ),
    )


def _burn(known: History, usual: Expectation | None) -> Burn | None:
    return None if usual is None else burn(known, usual)


def window(found: Burn | None, hours: float) -> Pressure | None:
    """What a rule looked at in the last hours."""
    return None if found is None else next(each for each in found.windows if each.hours == hours)


def _limit(budget: Budget) -> float:
    return budget.limit_nano_usd / NANO_PER_USD


def _ahead(budget: Budget, money: History, usual: Expectation | None, term: Term, spent_nano: int) -> Forecast | None:
    if term.ends is None:
        return None
    spent = spent_nano / NANO_PER_USD
    return forecast(money, usual, spent=spent, limit=_limit(budget), starts=term.starts, ends=term.ends)


def _spikes(budget: Budget, money: Burn | None, volume: Burn | None) -> list[Rule]:
    """Fast and slow, of money and of volume; only where enough money is above the usual to be worth a message."""
    found: list[Rule] = []
    if money is None:
        return found
    least = budget.least_nano_usd / NANO_PER_USD
    excess = {each.hours: each.spent - each.expected for each in money.windows}
    quickly, slowly = max(excess[1], excess[3]) >= least, excess[24] >= least
    if quickly:
        found += ["fast"] if money.fast else []
        found += ["fast-volume"] if volume is not None and volume.fast else []
    if slowly:
        found += ["slow"] if money.slow else []
        found += ["slow-volume"] if volume is not None and volume.slow else []
    return found


def _dearer(budget: Budget, ledger: Ledger, unit: UnitCost | None) -> list[Rule]:
    if unit is None or not unit.risen:
        return []
    rows = ledger.spending(ledger.now - _UNIT_WINDOW, ledger.now).requests
    enough = (unit.now - unit.usual) * rows * NANO_PER_USD >= budget.least_nano_usd
    return ["unit-cost"] if enough else []


def _ending(budget: Budget, ahead: Forecast | None, spent_nano: int) -> list[Rule]:
    if spent_nano >= budget.limit_nano_usd:
        return ["limit"]
    certain = ahead is not None and ahead.interval is not None and ahead.interval[0] > _limit(budget)
    return ["forecast"] if certain else []
