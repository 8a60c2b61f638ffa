"""Our figures as an invoice has them: the recorded calls of one provider by model and day."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from watchkeeper.observability.request import Tokens

COLUMNS = (
    "started_at", "provider", "model", "error_type", "cost_nano_usd",
    "tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write", "tokens_reasoning",
)  # fmt: skip
"""The columns of calls `recorded` reads."""

_BUCKETS = ("input", "output", "cache_read", "cache_write", "reasoning")


@dataclass(slots=True)
class Figures:
    """The calls of one model on one day.

    Attributes:
        cost_nano_usd: Of those that have a cost, failed ones too.
        calls: All of them.
        priced: Those that have a cost and did not fail.
        failed_nano_usd: Cost of those that failed.
        failed_unpriced: Failed and without a cost.
        unpriced: Did not fail and have no cost.
        tokens: Of those that have a cost.
        unpriced_tokens: Of those that have none.
    """

    cost_nano_usd: int = 0
    calls: int = 0
    priced: int = 0
    failed_nano_usd: int = 0
    failed_unpriced: int = 0
    unpriced: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    unpriced_tokens: Tokens = field(default_factory=Tokens)

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            cost_nano_usd=self.cost_nano_usd + other.cost_nano_usd,
            calls=self.calls + other.calls,
            priced=self.priced + other.priced,
            failed_nano_usd=self.failed_nano_usd + other.failed_nano_usd,
            failed_unpriced=self.failed_unpriced + other.failed_unpriced,
            unpriced=self.unpriced + other.unpriced,
            tokens=_added(self.tokens, other.tokens),
            unpriced_tokens=_added(self.unpriced_tokens, other.unpriced_tokens),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The recorded calls of a provider.

    Attributes:
        cells: (model, day) -> its figures.
        hours: Day -> calls in each of its 24 hours, in the invoice's time zone.
        nameless: Calls that name no provider; they are in no figure.
    """

    cells: Mapping[tuple[str, date], Figures]
    hours: Mapping[date, list[int]]
    nameless: int


def recorded(calls: pa.Table, provider: str, zone: ZoneInfo) -> Recorded:
    """Add up the calls of one provider by model and day.

    Args:
        provider: As the records name it, in any case.
        zone: Whose days.
    """
    nameless = calls["provider"].null_count
    mine = calls.filter(pc.equal(pc.utf8_lower(calls["provider"]), provider.lower()))
    local = pc.local_timestamp(pc.cast(mine["started_at"], pa.timestamp("us", tz=str(zone))))
    unpriced = pc.is_null(mine["cost_nano_usd"])
    failed = pc.is_valid(mine["error_type"])
    table = pa.table(
        {
            "model": pc.fill_null(mine["model"], ""),
            "day": pc.cast(pc.floor_temporal(local, unit="day"), pa.date32()),
            "hour": pc.hour(local),
            "unpriced": unpriced,
            "failed": failed,
            "cost_nano_usd": mine["cost_nano_usd"],
            **{name: mine[f"tokens_{name}"] for name in _BUCKETS},
        }
    )
    return Recorded(cells=_cells(table), hours=_hours(table), nameless=nameless)


def _cells(table: pa.Table) -> dict[tuple[str, date], Figures]:
    keys = ["model", "day", "unpriced", "failed"]
    sums = table.group_by(keys).aggregate(
        [([], "count_all"), ("cost_nano_usd", "sum"), *((name, "sum") for name in _BUCKETS)]
    )
    names = [*keys, "count_all", "cost_nano_usd_sum", *(f"{name}_sum" for name in _BUCKETS)]
    cells: dict[tuple[str, date], Figures] = {}
    for model, day, unpriced, failed, count, cost, *counts in zip(*(sums[n].to_pylist() for n in names), strict=True):
        tokens = Tokens(**dict(zip(_BUCKETS, counts, strict=True)))
        figures = Figures(
            cost_nano_usd=cost or 0,
            calls=count,
            priced=0 if unpriced or failed else count,
            failed_nano_usd=(cost or 0) if failed else 0,
            failed_unpriced=count if failed and unpriced else 0,
            unpriced=count if unpriced and not failed else 0,
            tokens=Tokens() if unpriced else tokens,
            unpriced_tokens=tokens if unpriced else Tokens(),
        )
        cells[model, day] = cells.get((model, day), Figures()) + figures
    return cells


def _hours(table: pa.Table) -> dict[date, list[int]]:
    sums = table.group_by(["day", "hour"]).aggregate([([], "count_all")])
    found: dict[date, list[int]] = {}
    for day, hour, count in zip(*(sums[name].to_pylist() for name in ("day", "hour", "count_all")), strict=True):
        found.setdefault(day, [0] * 24)[hour] += count
    return found


def _added(one: Tokens, other: Tokens) -> Tokens:
    def both(name: str) -> int | None:
        known = [count for count in (getattr(one, name), getattr(other, name)) if count is not None]
        return sum(known) if known else None

    return Tokens(**{name: both(name) for name in _BUCKETS})
