"""Two windows of calls compared: the change of cost in parts, for the whole and for every route and model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.money import usd
from watchkeeper.stats.cost_change import NO_CHANGE, CostChange, Segment, attribute_sums
from watchkeeper.stats.spend_sums import WindowSums, amounts, summed

COLUMNS = (
    "route", "provider", "model", "error_type", "cost_nano_usd",
    "tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write", "tokens_reasoning",
)  # fmt: skip
"""The columns of calls `compare` reads."""

NAMELESS = "(none)"
"""A call without a route, provider or model."""

By = Literal["segment", "route", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A half-open UTC window."""

    since: datetime
    until: datetime

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.until - self.since).total_seconds() / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The calls of one window.

    Attributes:
        calls: All of them.
        unpriced: Those without a cost that did not fail; they are in no figure.
        failed_unpriced: Those without a cost that failed; they rarely cost anything.
        uncounted: Priced ones that do not say their tokens.
    """

    calls: int
    unpriced: int
    failed_unpriced: int
    uncounted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What one segment, route or model did; `route` or `model` is None where it was not asked for.

    Attributes:
        calls: Priced calls that succeeded, before and after.
    """

    route: str | None
    model: str | None
    calls: tuple[int, int]
    change: CostChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why the cost of `after` differs from that of `before`.

    Attributes:
        total: Of the windows as they are.
        hourly: Of an hour in each; only where their lengths differ.
        moved: In the order of how far they moved, in total or, where lengths differ, in an hour.
    """

    before: Period
    after: Period
    calls: tuple[Counted, Counted]
    total: CostChange
    hourly: CostChange | None
    moved: Sequence[Moved]

    @property
    def evidence(self) -> dict[str, Any]:
        """The figures as plain values, for an incident: US dollars, the five segments that moved most."""
        shown = self.hourly or self.total
        return {
            "per": "hour" if self.hourly else "window",
            "before_usd": float(usd(shown.before)),
            "after_usd": float(usd(shown.after)),
            "parts_usd": {name: float(usd(part)) for name, part in shown.parts.items()},
            "tokens_usd": {name: float(usd(part)) for name, part in shown.tokens.items()},
            "unpriced_calls": {"before": self.calls[0].unpriced, "after": self.calls[1].unpriced},
            "compared_with": f"{format_time(self.before.since)} to {format_time(self.before.until)}",
            "moved": [
                {
                    "route": each.route,
                    "model": each.model,
                    "change_usd": float(usd(each.change.change)),
                    "parts_usd": {name: float(usd(part)) for name, part in each.change.parts.items()},
                }
                for each in self.moved[:5]
            ],
        }


def compare(before: pa.Table, after: pa.Table, windows: tuple[Period, Period], *, by: By = "segment") -> Explanation:
    """Split the change of cost between two tables of calls with `COLUMNS`."""
    priced = [table.filter(pc.is_valid(table["cost_nano_usd"])) for table in (before, after)]
    names = _segments(priced)
    old, new = (_sums(table, names) for table in priced)
    segments = sorted(names, key=lambda name: names[name])
    totals = attribute_sums(segments, old, new)
    same_length = windows[0].hours == windows[1].hours
    hours = (windows[0].hours, windows[1].hours)
    hourly = None if same_length else attribute_sums(segments, old, new, hours=hours)
    return Explanation(
        before=windows[0],
        after=windows[1],
        calls=(_counted(before), _counted(after)),
        total=sum(totals, NO_CHANGE),
        hourly=None if hourly is None else sum(hourly, NO_CHANGE),
        moved=_moved(segments, totals if hourly is None else hourly, old, new, by),
    )


def _moved(
    segments: Sequence[Segment], changes: Sequence[CostChange], old: WindowSums, new: WindowSums, by: By
) -> list[Moved]:
    found: dict[tuple[str | None, str | None], Moved] = {}
    for place, ((route, model), change) in enumerate(zip(segments, changes, strict=True)):
        key = (route if by != "model" else None, model if by != "route" else None)
        calls = (int(old.count[place]), int(new.count[place]))
        if key in found:
            known = found[key]
            calls, change = (known.calls[0] + calls[0], known.calls[1] + calls[1]), known.change + change
        found[key] = Moved(route=key[0], model=key[1], calls=calls, change=change)

    def far(each: Moved) -> tuple[int, int, str, str]:
        return -abs(each.change.change), -each.change.after, each.route or "", each.model or ""

    return sorted(found.values(), key=far)


def _counted(table: pa.Table) -> Counted:
    unpriced = pc.is_null(table["cost_nano_usd"])
    failed = pc.is_valid(table["error_type"])
    told = pc.or_(pc.is_valid(table["tokens_input"]), pc.is_valid(table["tokens_output"]))
    return Counted(
        calls=len(table),
        unpriced=_true(pc.and_(unpriced, pc.invert(failed))),
        failed_unpriced=_true(pc.and_(unpriced, failed)),
        uncounted=_true(pc.invert(pc.or_(pc.or_(unpriced, failed), told))),
    )


def _true(values: Any) -> int:
    return int(pc.sum(values).as_py() or 0)


def _segments(tables: Sequence[pa.Table]) -> dict[Segment, int]:
    """Route and PROVIDER/MODEL of every priced call -> its number."""
    found: set[Segment] = set()
    for table in tables:
        unique = table.select(["route", "provider", "model"]).group_by(["route", "provider", "model"]).aggregate([])
        found |= {_segment(*row) for row in zip(*(column.to_pylist() for column in unique.columns), strict=True)}
    return {name: number for number, name in enumerate(sorted(found))}


def _segment(route: str | None, provider: str | None, model: str | None) -> Segment:
    named = model or NAMELESS
    return route or NAMELESS, f"{provider}/{named}" if provider else named


def _sums(priced: pa.Table, names: Mapping[Segment, int]) -> WindowSums:
    tokens = np.column_stack([_zeros_for_null(priced[name]) for name in COLUMNS[-5:]]).astype(np.float64)
    return summed(
        _numbers(priced, names),
        amounts(tokens),
        _zeros_for_null(priced["cost_nano_usd"]),
        pc.is_valid(priced["error_type"]).to_numpy().astype(np.bool_),
        segments=len(names),
    )


def _numbers(table: pa.Table, names: Mapping[Segment, int]) -> NDArray[np.int64]:
    """The segment of each row, by whole columns: a text is looked at once, not once a call."""
    code = np.zeros(len(table), np.int64)
    dictionaries: list[list[str | None]] = []
    for name in ("route", "provider", "model"):
        encoded = pc.dictionary_encode(table[name], null_encoding="encode").combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], table[name].type).dictionary_encode()
        dictionaries.append(encoded.dictionary.to_pylist())
        code = code * max(1, len(dictionaries[-1])) + encoded.indices.to_numpy(zero_copy_only=False)
    unique, place = np.unique(code, return_inverse=True)
    numbers = []
    for each in unique.tolist():
        rest, model = divmod(each, max(1, len(dictionaries[2])))
        route, provider = divmod(rest, max(1, len(dictionaries[1])))
        numbers.append(names[_segment(dictionaries[0][route], dictionaries[1][provider], dictionaries[2][model])])
    return np.array(numbers, np.int64)[place] if numbers else np.zeros(0, np.int64)


def _zeros_for_null(column: pa.ChunkedArray) -> NDArray[np.int64]:
    filled: NDArray[np.int64] = pc.fill_null(column, 0).to_numpy()
    return filled
