"""What was spent, in five-minute steps: exact sums, and what the statistics need."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from watchkeeper.budgets.budget import OWN_SOURCES, STEP, Spend
from watchkeeper.foundation.money import NANO_PER_USD
from watchkeeper.stats.spend import History, midnight_of
from watchkeeper.stats.unit_cost import Spending

_STEP_S = STEP.total_seconds()
_WHOLE_DAY = timedelta(hours=1)
"""A first day that begins later than this is not a whole day to learn from."""

_Counts = NDArray[np.int64]


class Facts(Protocol):
    """A table of facts, as facts.service.read gives it."""

    @property
    def column_names(self) -> Sequence[str]: ...
    @property
    def num_rows(self) -> int: ...
    def column(self, name: str) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ledger:
    """Amounts by step; every array has shape (steps,), and the last step is the one that runs.

    Attributes:
        start: Local midnight at or before the first row, aware; a ZoneInfo's.
        first: When the first row was.
        nano: Nano-dollars of what has a cost.
        rows: Requests; calls where the budget is one of calls.
        unpriced: Calls without a cost.
        priced: Rows all of whose calls have a cost.
        paid: Nano-dollars of those.
        squares: Sum of the squares of their costs, US dollars squared.
    """

    start: datetime
    first: datetime
    now: datetime
    nano: _Counts
    rows: _Counts
    unpriced: _Counts
    priced: _Counts
    paid: _Counts
    squares: NDArray[np.float64]

    def upto(self, now: datetime) -> "Ledger":
        """The same ledger as it was at an earlier time, a whole step."""
        steps = self._step(now) + 1
        names = ("nano", "rows", "unpriced", "priced", "paid", "squares")
        return replace(self, now=now, **{name: getattr(self, name)[:steps] for name in names})

    def since(self, begins: datetime, name: str) -> int:
        """The exact sum of one array from a step on."""
        return int(getattr(self, name)[max(0, self._step(begins)) :].sum())

    def money(self) -> History:
        """US dollars of the days that are whole."""
        start, steps = self._learned()
        return History(start=start, amounts=self.nano[steps:] / NANO_PER_USD, now=self.now)

    def volume(self) -> History:
        """Rows of the days that are whole."""
        start, steps = self._learned()
        return History(start=start, amounts=self.rows[steps:].astype(float), now=self.now)

    def spending(self, begins: datetime, ends: datetime) -> Spending:
        """Priced rows of a stretch of whole steps, for the unit cost."""
        part = slice(max(0, self._step(begins)), max(0, self._step(ends)))
        return Spending(
            requests=int(self.priced[part].sum()),
            cost=int(self.paid[part].sum()) / NANO_PER_USD,
            squares=float(self.squares[part].sum()),
        )

    def _learned(self) -> tuple[datetime, int]:
        """Where what can be learned from begins: a first day cut short would look like a cheap one."""
        zone = self.start.tzinfo
        today = self.now.astimezone(zone).date()
        begun = self.start.date()
        if self.first - self.start > _WHOLE_DAY and begun < today:
            following = midnight_of(begun + timedelta(days=1), zone)  # type: ignore[arg-type]
            return following, self._step(following)
        return self.start, 0

    def _step(self, at: datetime) -> int:
        return int((at.timestamp() - self.start.timestamp()) // _STEP_S)


def ledger_of(facts: Facts, *, now: datetime, zone: Any, spend: Spend = "llm") -> Ledger:
    """Add facts up; what starts after `now` and what another spend pays is left out.

    Args:
        facts: Of requests (with `unpriced`) or of calls; started_at, source, cost_nano_usd.
        zone: ZoneInfo of the budget.
    """
    at = facts.column("started_at").to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    mine = _belongs(facts, spend) & (at <= now.timestamp())
    at = at[mine]
    priced = facts.column("cost_nano_usd").is_valid().to_numpy()[mine]
    nano = facts.column("cost_nano_usd").fill_null(0).to_numpy()[mine].astype(np.int64)
    if "unpriced" in facts.column_names:
        unpriced = facts.column("unpriced").to_numpy()[mine].astype(np.int64)
    else:
        unpriced = (~priced).astype(np.int64)
    whole = priced & (unpriced == 0)
    first = min(now, datetime.fromtimestamp(float(at.min()), zone)) if at.size else now
    start = midnight_of(first.astimezone(zone).date(), zone)
    count = int((now.timestamp() - start.timestamp()) // _STEP_S) + 1
    place = ((at - start.timestamp()) // _STEP_S).astype(np.int64)
    return Ledger(
        start=start,
        first=first.astimezone(zone),
        now=now,
        nano=_sums(place, nano, count),
        rows=np.bincount(place, minlength=count).astype(np.int64),
        unpriced=_sums(place, unpriced, count),
        priced=np.bincount(place[whole], minlength=count).astype(np.int64),
        paid=_sums(place[whole], nano[whole], count),
        squares=np.bincount(place[whole], (nano[whole] / NANO_PER_USD) ** 2, count).astype(float),
    )


def _belongs(facts: Facts, spend: Spend) -> NDArray[np.bool_]:
    """Whose spend each row is; one without a source is the application's."""
    named = facts.column("source").combine_chunks().dictionary_encode()
    owners = np.array(
        [OWN_SOURCES.get(source, "llm") == spend for source in named.dictionary.to_pylist()] + [spend == "llm"]
    )
    return np.asarray(owners[named.indices.fill_null(len(owners) - 1).to_numpy(zero_copy_only=False).astype(np.int64)])


def _sums(place: _Counts, amounts: _Counts, count: int) -> _Counts:
    """Whole sums by place: money is exact, and floats are not."""
    found = np.zeros(count, np.int64)
    np.add.at(found, place, amounts)
    return found
