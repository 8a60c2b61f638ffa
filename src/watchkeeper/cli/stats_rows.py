"""Rows of every `stats` command but `compare`: JSON lines into values, grouped; the first bad line is named."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from watchkeeper.cli.json_rows import UNGROUPED, label, rows_of, score
from watchkeeper.foundation.clock import parse_time
from watchkeeper.foundation.errors import NothingToCheck, Rejected
from watchkeeper.foundation.money import nano_usd
from watchkeeper.stats.calibration import Judged
from watchkeeper.stats.cost_change import Side, Spent
from watchkeeper.stats.weighted import Scored

Row = TypeVar("Row")

_SIDES: dict[str, Side] = {"before": "before", "after": "after"}


def grouped(file: Path, take: Callable[[dict[str, Any]], Row]) -> dict[str, list[Row]]:
    """The rows of every group, both in the order of the file.

    Args:
        take: Reads one row; raises ValueError, "field: problem".

    Raises:
        Misconfigured: If the file cannot be read.
        Rejected: At the first bad row, as `FILE:line: field: problem`.
        NothingToCheck: If there are no rows.
    """
    groups: dict[str, list[Row]] = {}
    for number, row in rows_of(file):
        try:
            groups.setdefault(label(row, "group") or UNGROUPED, []).append(take(row))
        except ValueError as error:
            raise Rejected(f"{file}:{number}: {error}") from None
    if not groups:
        raise NothingToCheck(f"{file}: no rows, nothing to reckon with")
    return groups


def scored(row: dict[str, Any]) -> Scored:
    """A row of `stats estimate`."""
    _needs(row, "value")
    population = row.get("population")
    if population is not None and (not isinstance(population, int) or isinstance(population, bool) or population < 1):
        raise ValueError("population: must be a whole number of requests, at least 1")
    stratum = label(row, "stratum")
    if population is not None and stratum is None:
        raise ValueError("population: is a stratum's; name the stratum")
    return Scored(
        value=score(row, "value"), inclusion=_probability(row, "inclusion"), stratum=stratum, population=population
    )


def judged(row: dict[str, Any]) -> Judged:
    """A row of `stats calibrate`."""
    _needs(row, "judge")
    inclusion = 1.0 if row.get("inclusion") is None else _probability(row, "inclusion")
    return Judged(judge=score(row, "judge"), human=score(row, "human"), inclusion=inclusion)


def timed(row: dict[str, Any]) -> tuple[Side, datetime, float | None]:
    """A row of `stats latency`: window, time, milliseconds."""
    _needs(row, "latency_ms")
    return _side(row), _instant(row), _amount(row, "latency_ms")


def paid(row: dict[str, Any]) -> tuple[datetime, int | None]:
    """A row of `stats budget`: time, nano-dollars."""
    _needs(row, "cost_usd")
    return _instant(row), _money(row)


def answered(row: dict[str, Any]) -> tuple[datetime | None, int | None]:
    """A row of `stats rate`: time, 1 for broken, 0 for fine, None for not known."""
    _needs(row, "broken")
    broken = row["broken"]
    if broken is not None and (not isinstance(broken, int | float) or broken not in (0, 1)):
        raise ValueError("broken: must be 0, 1, true, false or null")
    return None if row.get("at") is None else _instant(row), None if broken is None else int(broken)


def spent(row: dict[str, Any]) -> Spent | None:
    """A row of `stats attribute`; None for a call without a cost."""
    _needs(row, "cost_usd")
    side, route, model = _side(row), label(row, "route"), label(row, "model")
    if route is None or model is None:
        raise ValueError(f"{'route' if route is None else 'model'}: missing")
    tokens, cost = _buckets(row.get("usage")), _money(row)
    failed = label(row, "error_type") is not None
    if cost is None:
        return None
    return Spent(window=side, route=route, model=model, tokens=tokens, cost_nano_usd=cost, failed=failed)


def _needs(row: dict[str, Any], field: str) -> None:
    if field not in row:
        raise ValueError(f"{field}: missing; where it is not known write null")


def _amount(row: dict[str, Any], field: str) -> float | None:
    value = row.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{field}: must be a number, at least 0, or null")
    return float(value)


def _money(row: dict[str, Any]) -> int | None:
    value = row.get("cost_usd")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError("cost_usd: must be a number of US dollars, at least 0, or null")
    return nano_usd(value)


def _probability(row: dict[str, Any], field: str) -> float:
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"{field}: must be a probability in (0, 1]")
    return float(value)


def _instant(row: dict[str, Any]) -> datetime:
    value = row.get("at")
    if not isinstance(value, str):
        raise ValueError('at: must be an ISO time with a zone, "2026-11-24T10:00:00Z"')
    try:
        return parse_time(value)
    except ValueError as error:
        raise ValueError(f"at: {error}") from None


def _side(row: dict[str, Any]) -> Side:
    side = _SIDES.get(row.get("window", "")) if isinstance(row.get("window"), str) else None
    if side is None:
        raise ValueError('window: must be "before" or "after"')
    return side


def _buckets(usage: Any) -> dict[str, int]:
    """Disjoint buckets from a record's usage, whose input includes cached tokens and output reasoning."""
    if usage is None:
        return {}
    if not isinstance(usage, dict):
        raise ValueError('usage: must be an object, {"input": 912, "output": 210, …}, or null')
    counts: dict[str, int] = {}
    for name in ("input", "output", "cache_read", "cache_write", "reasoning"):
        value = usage.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"usage.{name}: must be a whole number, at least 0, or null")
        counts[name] = value
    cached, reasoning = counts.get("cache_read", 0) + counts.get("cache_write", 0), counts.get("reasoning", 0)
    if cached > counts.get("input", cached) or reasoning > counts.get("output", reasoning):
        raise ValueError("usage: its parts are more than their whole; input includes cached, output reasoning")
    if "input" in counts:
        counts["input"] -= cached
    if "output" in counts:
        counts["output"] -= reasoning
    return counts
