"""`stats estimate|calibrate|latency|budget|rate|attribute`: rows in, one result a group out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchkeeper.cli.console import JsonOption, print_json
from watchkeeper.foundation.errors import Misconfigured

if TYPE_CHECKING:
    from watchkeeper.stats.cost_change import Side, Spent

FileArgument = Annotated[Path, typer.Argument(help="JSON lines; - reads standard input.", show_default=False)]

Result = Mapping[str, Any]


def estimate_file(
    file: FileArgument,
    finite: Annotated[
        bool, typer.Option("--finite", help="Say it of just these requests, not of what produces them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What is the mean of all traffic, from a sample in which some answers had a better chance than others?

    A row: {"value", "inclusion", "stratum"?, "population"?, "group"?}; value in [0, 1] or null, population the
    requests of that stratum. Without strata, equal inclusions form one.
    """
    from watchkeeper.cli.stats_rows import grouped, scored
    from watchkeeper.stats.weighted import ENOUGH, estimate

    def result(rows: Sequence[Any]) -> Result:
        found = estimate(rows, finite=finite)
        return {
            "mean": found.mean, "interval": found.interval, "n": found.n, "effective_n": found.effective_n,
            "missing": found.missing, "enough": found.enough,
        }  # fmt: skip

    titles = {"mean": "mean", "interval": "95 % interval", "n": "n", "effective_n": "effective n", "missing": "missing"}
    results = _results(file, grouped(file, scored), result)
    _show(results, titles, as_json)
    if not as_json and (few := [name for name, found in results.items() if not found["enough"]]):
        print(f"too few: under {ENOUGH} scored answers of the largest stratum: {', '.join(few[:5])}")


def calibrate_file(file: FileArgument, as_json: JsonOption = False) -> None:
    """What would people have said, from a judge's verdicts on many answers and people's on a few?

    A row: {"judge", "human", "inclusion"?, "group"?}; both in [0, 1]; human null where unlabelled. The labelled
    answers must be a random part, at least among those with one verdict.
    """
    from watchkeeper.cli.stats_rows import grouped, judged
    from watchkeeper.stats.calibration import calibrate

    def result(rows: Sequence[Any]) -> Result:
        found = calibrate(rows)
        return {
            "raw": asdict(found.raw), "corrected": asdict(found.corrected), "labels": found.labels,
            "missing": found.missing, "agreement": asdict(found.agreement), "certified": found.certified,
        }  # fmt: skip

    titles = {
        "corrected.mean": "corrected", "corrected.interval": "95 % interval", "raw.mean": "uncorrected",
        "labels": "labels", "agreement.kappa": "kappa", "agreement.tpr": "TPR", "agreement.tnr": "TNR",
        "certified": "certified",
    }  # fmt: skip
    _show(_results(file, grouped(file, judged), result), titles, as_json)


def latency_file(
    file: FileArgument,
    floor: Annotated[float, typer.Option("--floor", help="Ratio below which a change is not worth a message.")] = 1.2,
    as_json: JsonOption = False,
) -> None:
    """Did it become slower?

    A row: {"at", "latency_ms", "window": "before" or "after", "group"?}.
    """
    from watchkeeper.cli.stats_rows import grouped, timed
    from watchkeeper.stats.latency import Window, compare_latency

    if not 1 < floor < 1000:
        raise Misconfigured(f"--floor: must be above 1, got {floor}")

    def result(rows: Sequence[tuple["Side", datetime, float | None]]) -> Result:
        known = [(side, at.timestamp(), ms) for side, at, ms in rows if ms is not None]
        windows = {
            side: Window(at=[at for s, at, _ in known if s == side], latency_ms=[ms for s, _, ms in known if s == side])
            for side in ("before", "after")
        }
        found = compare_latency(windows["before"], windows["after"], floor=floor)
        quantiles = {
            name: {key: getattr(q, key) for key in ("before", "after", "ratio", "interval")}
            for name, q in (("p50", found.p50), ("p95", found.p95))
        }
        counts = {side: len(window.at) for side, window in windows.items()}
        return {**quantiles, "verdict": found.verdict, "rows": counts, "missing": len(rows) - len(known)}

    titles = {
        "p50.before": "p50 before", "p50.after": "after", "p50.ratio": "ratio", "p95.before": "p95 before",
        "p95.after": "after", "p95.ratio": "ratio", "p95.interval": "95 % interval", "verdict": "verdict",
    }  # fmt: skip
    _show(_results(file, grouped(file, timed), result), titles, as_json)


def budget_file(
    file: FileArgument,
    limit: Annotated[float, typer.Option("--limit", help="US dollars a period.", show_default=False)],
    period: Annotated[Literal["day", "week", "month"], typer.Option("--period", help="A week begins on Monday.")],
    timezone: Annotated[str, typer.Option("--timezone", help="Whose days, e.g. Europe/Berlin.")] = "UTC",
    now: Annotated[str | None, typer.Option("--now", help="ISO time with a zone; default: the newest row's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Is the budget kept, is money spent faster than usual, and where does the period end?

    A row: {"at", "cost_usd", "group"?}; the more weeks before this period, the better the expectation.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from watchkeeper.cli.instants import instant_of
    from watchkeeper.cli.stats_rows import grouped, paid
    from watchkeeper.foundation.clock import SystemClock, format_time
    from watchkeeper.foundation.money import NANO_PER_USD, usd
    from watchkeeper.stats.budget import budget_state, period_of
    from watchkeeper.stats.spend import history

    if not 0 < limit < float("inf"):
        raise Misconfigured(f"--limit: must be above 0 US dollars, got {limit}")
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Misconfigured(f"--timezone: there is no time zone {timezone!r}; write e.g. Europe/Berlin") from None
    at = instant_of("--now", now, SystemClock().now())

    def result(rows: Sequence[tuple[datetime, int | None]]) -> Result:
        present = at or max(when for when, _ in rows)
        known = [(when, cost) for when, cost in rows if cost is not None and when <= present]
        past = history([w for w, _ in known], [c / NANO_PER_USD for _, c in known], now=present, zone=zone)
        starts, _ = period_of(present, period, zone)
        spent = usd(sum(cost for when, cost in known if when >= starts))
        state = budget_state(past, limit=limit, period=period, spent=float(spent))
        times = (state.forecast.exhausted_at, *(state.forecast.exhausted_between or (None, None)))
        reached, earliest, latest = (None if each is None else format_time(each) for each in times)
        burning = state.burn
        return {
            "spent_usd": spent,
            "limit_usd": limit,
            "period": [format_time(state.starts), format_time(state.ends)],
            "burn": {"fast": burning and burning.fast, "slow": burning and burning.slow},
            "windows": [asdict(window) for window in (burning.windows if burning else ())],
            "forecast": {
                "usd": state.forecast.usd, "interval": state.forecast.interval, "exhausted_at": reached,
                "exhausted_between": [earliest, latest],
            },
            "verdict": state.verdict,
            "missing": sum(cost is None for _, cost in rows),
            "later": sum(when > present for when, _ in rows),
        }  # fmt: skip

    titles = {
        "spent_usd": "spent, USD", "forecast.usd": "forecast", "forecast.interval": "90 % interval",
        "forecast.exhausted_at": "limit reached", "burn.fast": "fast burn", "burn.slow": "slow burn",
        "verdict": "verdict",
    }  # fmt: skip
    _show(_results(file, grouped(file, paid), result), titles, as_json)


def rate_file(
    file: FileArgument,
    baseline_rows: Annotated[int, typer.Option("--baseline-rows", min=1, help="The first N rows are the baseline.")],
    as_json: JsonOption = False,
) -> None:
    """Did a failure rate rise, and at which row was that certain?

    A row: {"at"?, "broken": 0 or 1, "group"?}, in order. Rows are counted from 1, in each group.
    """
    from watchkeeper.cli.stats_rows import answered, grouped
    from watchkeeper.stats.rate_change import rate_change

    def result(rows: Sequence[tuple[datetime | None, int | None]]) -> Result:
        if len(rows) < baseline_rows:
            raise ValueError(f"--baseline-rows {baseline_rows}: there are only {len(rows)} rows")
        known = [(number, value) for number, (_, value) in enumerate(rows, start=1) if value is not None]
        baseline = sum(number <= baseline_rows for number, _ in known)
        if not baseline:
            raise ValueError(f"--baseline-rows {baseline_rows}: none of them says whether it was broken")
        days = _day_rates(rows[:baseline_rows])
        found = rate_change([value for _, value in known], baseline=baseline, day_rates=days)
        return {
            "baseline_rate": found.baseline_rate,
            "alert_at_row": None if found.alert_at is None else known[found.alert_at][0],
            "rate_since": found.rate_since,
            "since_row": None if found.since_at is None else known[found.since_at][0],
            "allowed_rate": found.allowed,
            "missing": len(rows) - len(known),
        }

    titles = {
        "baseline_rate": "baseline rate", "allowed_rate": "allowed", "alert_at_row": "alert at row",
        "since_row": "since row", "rate_since": "rate since",
    }  # fmt: skip
    _show(_results(file, grouped(file, answered), result), titles, as_json)


def attribute_file(file: FileArgument, as_json: JsonOption = False) -> None:
    """Why did the bill change: volume, mix, tokens, price, failures; the parts add up to the change.

    A row: {"window": "before" or "after", "route", "model", "usage": {…}, "cost_usd", "error_type"?, "group"?}.
    """
    from watchkeeper.cli.stats_rows import grouped, spent
    from watchkeeper.foundation.money import usd
    from watchkeeper.stats.cost_change import attribute

    def result(rows: Sequence["Spent | None"]) -> Result:
        found = attribute([row for row in rows if row is not None])
        return {
            "change_usd": usd(found.change),
            "parts": {name: usd(part) for name, part in found.parts.items()},
            "before_usd": usd(found.before),
            "after_usd": usd(found.after),
            "unpriced": sum(row is None for row in rows),
        }

    titles = {"before_usd": "before, USD", "after_usd": "after", "change_usd": "change"} | {
        f"parts.{name}": name for name in ("volume", "mix", "tokens", "price", "failures")
    }
    _show(_results(file, grouped(file, spent), result), titles, as_json)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "estimate": estimate_file,
    "calibrate": calibrate_file,
    "latency": latency_file,
    "budget": budget_file,
    "rate": rate_file,
    "attribute": attribute_file,
}


def _day_rates(rows: Sequence[tuple[datetime | None, int | None]]) -> list[float]:
    """Failure rates of the days that have enough responses for one."""
    days: dict[Any, list[int]] = {}
    for at, broken in rows:
        if at is not None and broken is not None:
            days.setdefault(at.date(), []).append(broken)
    return [sum(day) / len(day) for day in days.values() if len(day) >= 100]


def _results(
    file: Path, groups: Mapping[str, Sequence[Any]], result: Callable[[Sequence[Any]], Result]
) -> dict[str, Result]:
    from watchkeeper.foundation.errors import Rejected

    found: dict[str, Result] = {}
    for name, rows in groups.items():
        try:
            found[name] = result(rows)
        except ValueError as error:
            raise Rejected(f"{file}: group {_line(name)}: {error}") from None
    return found


def _show(results: Mapping[str, Result], titles: Mapping[str, str], as_json: bool) -> None:
    if as_json:
        print_json({"groups": results})
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("group")
    for title in titles.values():
        table.add_column(title, justify="right", no_wrap=True)
    for name, result in results.items():
        table.add_row(escape(_line(name)), *(escape(_cell(_at(result, path))) for path in titles))
    console = Console(soft_wrap=False)
    # A file or a pipe has no width of its own: nothing is cut there.
    (console if console.is_terminal else Console(width=max(console.width, 160))).print(table)


def _at(result: Result, path: str) -> Any:
    value: Any = result
    for key in path.split("."):
        value = value[key]
    return value


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return f"{value[:16]}Z" if len(value) == 24 and value.endswith("Z") else value  # a time, to the minute
        case int():
            return str(value)
        case tuple() | list():
            return f"{_cell(value[0])} to {_cell(value[1])}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"


def _line(name: str) -> str:
    """A group's name on one line, whatever is in it."""
    return name if name.isprintable() else ascii(name)[1:-1]
