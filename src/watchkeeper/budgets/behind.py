"""What is behind a spend: who spent more than a week before, and which factor changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.budgets.budget import OWN_SOURCES, Spend
from watchkeeper.budgets.ledger import Facts
from watchkeeper.stats.cost_change import CostChange, Side, Spent, attribute

WEEK = timedelta(days=7)
LABELS = ("route", "model", "segment")
"""What the excess is broken down by."""

TOKENS = ("input", "output", "cache_read", "cache_write", "reasoning")
COLUMNS = (*LABELS, "source", "error_type", "cost_nano_usd", *(f"tokens_{name}" for name in TOKENS))
"""The columns of calls that are read."""

_SHOWN = 3
_MOST_CALLS = 200_000
"""Above it the change is not split into factors here: a check must not take minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One route, model or segment: nano-dollars now, and in the same hours a week before."""

    name: str | None
    now: int
    before: int

    @property
    def excess(self) -> int:
        """Now minus before."""
        return self.now - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What is behind the spend of the last hours.

    Attributes:
        hours: How many of them.
        top: Label -> those with the largest excess over the week before, at most three.
        change: Against the same hours a week before; None where nothing was recorded then, or too many calls.
    """

    hours: int
    top: Mapping[str, Sequence[Part]]
    change: CostChange | None


def behind(now: Facts, before: Facts, *, hours: int, spend: Spend) -> Behind:
    """Compare two windows of calls."""
    after, past = _rows(now, spend), _rows(before, spend)
    change = None
    if past and len(past) + len(after) <= _MOST_CALLS:
        change = attribute([_spent(row, "before") for row in past] + [_spent(row, "after") for row in after])
    return Behind(hours=hours, top={label: _top(after, past, label) for label in LABELS}, change=change)


def windows(now: datetime, hours: int) -> tuple[tuple[datetime, datetime], tuple[datetime, datetime]]:
    """The last hours, and the same hours a week before."""
    begins = now - timedelta(hours=hours)
    return (begins, now), (begins - WEEK, now - WEEK)


def _rows(facts: Facts, spend: Spend) -> list[dict[str, Any]]:
    """The priced calls of a spend."""
    columns = {name: facts.column(name).to_pylist() for name in COLUMNS}
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*columns.values(), strict=True)
        if values[COLUMNS.index("cost_nano_usd")] is not None
        and OWN_SOURCES.get(values[COLUMNS.index("source")], "llm") == spend
    ]


def _top(after: Sequence[Mapping[str, Any]], past: Sequence[Mapping[str, Any]], label: str) -> list[Part]:
    sums: dict[str | None, list[int]] = {}
    for side, rows in enumerate((after, past)):
        for row in rows:
            sums.setdefault(row[label], [0, 0])[side] += row["cost_nano_usd"]
    parts = [Part(name=name, now=both[0], before=both[1]) for name, both in sums.items()]
    grown = [part for part in parts if part.excess > 0]
    return sorted(grown, key=lambda part: (-part.excess, part.name or ""))[:_SHOWN]


def _spent(row: Mapping[str, Any], side: Side) -> Spent:
    return Spent(
        window=side,
        route=row["route"],
        model=row["model"] or "?",
        tokens={name: row[f"tokens_{name}"] for name in TOKENS if row[f"tokens_{name}"] is not None},
        cost_nano_usd=row["cost_nano_usd"],
        failed=row["error_type"] is not None,
    )
