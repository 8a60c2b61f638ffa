"""`explain cost`: why a bill changed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchkeeper.cli.conditions import WhereOption, conditions
from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.cli.tabular import money, print_table, word
from watchkeeper.foundation.errors import Misconfigured

if TYPE_CHECKING:
    from watchkeeper.spending.change import Counted, Explanation, Moved, Period
    from watchkeeper.stats.cost_change import CostChange

app = typer.Typer(no_args_is_help=True, help="Why a figure changed.")

_SHOWN = 10
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)
_WORDS = {
    "volume": "more or fewer calls",
    "mix": "other routes and models",
    "tokens": "of each call",
    "input": "prompts",
    "output": "answers and reasoning",
    "cache_share": "other share of them from the cache",
    "uncounted": "calls that do not say",
    "price": "another price",
    "failures": "spent on calls that failed",
}


@app.callback()
def _explain() -> None:
    pass


@app.command("cost")
def cost(
    before: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="T[..T2]",
            help="The window to compare with: T..T2, or T and as long as --to; default: a week before --to.",
            show_default=False,
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="T[..T2]",
            help="T..T2, or from T until now; default: 24h. ISO with a zone, or an age.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        Literal["route", "model"] | None,
        typer.Option("--by", help="What moved, by it; default: route and model together.", show_default=False),
    ] = None,
    where: WhereOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Why did the cost change: volume, mix, tokens, price, failures; the parts add up to the change exactly.

    The last 24 hours against the same hours a week before, unless other windows are given. Windows of different length
    are compared as they are and by the hour.
    """  # fmt: skip
    from watchkeeper.app import open_app
    from watchkeeper.spending import service

    asked = conditions(where)
    with open_app(config) as opened:
        windows = _windows(before, after, opened.clock.now())
        found = service.explain(
            opened.store, opened.settings.store.facts, *windows, by=by or "segment", where=asked
        )  # fmt: skip
    if as_json:
        print_json(_document(found))
    else:
        _print(found)


def _windows(before: str | None, after: str | None, now: datetime) -> tuple["Period", "Period"]:
    from watchkeeper.spending.change import Period

    new = _window("--to", after, now, now - _DAY, now)
    length = new.until - new.since
    old_since = new.since - _WEEK
    if before is not None and ".." not in before:
        since = instant_of("--from", before, now)
        assert since is not None
        return Period(since=since, until=since + length), new
    return _window("--from", before, now, old_since, old_since + length), new


def _window(option: str, text: str | None, now: datetime, since: datetime, until: datetime) -> "Period":
    from watchkeeper.spending.change import Period

    if text is not None:
        first, dots, second = text.partition("..")
        start, end = instant_of(option, first, now), instant_of(option, second, now) if dots else now
        assert start is not None
        assert end is not None
        since, until = start, end
    if since >= until:
        raise Misconfigured(f"{option}: begins at or after its end; write EARLIER..LATER")
    return Period(since=since, until=until)


def _document(found: "Explanation") -> dict[str, Any]:
    from watchkeeper.foundation.clock import format_time
    from watchkeeper.foundation.money import usd

    def window(period: "Period", calls: "Counted") -> dict[str, Any]:
        return {
            "since": format_time(period.since),
            "until": format_time(period.until),
            "hours": period.hours,
            "calls": calls.calls,
            "unpriced": calls.unpriced,
            "failed_without_cost": calls.failed_unpriced,
            "without_tokens": calls.uncounted,
        }

    def change(each: "CostChange") -> dict[str, Any]:
        return {
            "before_usd": usd(each.before),
            "after_usd": usd(each.after),
            "change_usd": usd(each.change),
            "parts": {name: usd(part) for name, part in each.parts.items()},
            "tokens": {name: usd(part) for name, part in each.tokens.items()},
        }

    return {
        "before": window(found.before, found.calls[0]),
        "after": window(found.after, found.calls[1]),
        "total": change(found.total),
        "per_hour": change(found.hourly) if found.hourly else None,
        "segments_per": "hour" if found.hourly else "window",
        "segments": [
            {
                **({"route": each.route} if each.route is not None else {}),
                **({"model": each.model} if each.model is not None else {}),
                "calls": {"before": each.calls[0], "after": each.calls[1]},
                **change(each.change),
            }
            for each in found.moved
        ],
    }


def _print(found: "Explanation") -> None:
    print(f"{_span(found.after)}  {money(found.total.after)}")
    print(f"{_span(found.before)}  {money(found.total.before)}")
    if found.hourly:
        say(f"the windows are {found.before.hours:g} and {found.after.hours:g} hours long: compared by the hour too")
    for side, calls in zip(("before", "after"), found.calls, strict=True):
        if calls.unpriced:
            say(f"{side}: {calls.unpriced:,} of {calls.calls:,} calls have no price and are in no figure")
        if not calls.calls:
            say(f"{side}: no call in this window")
    print()
    columns = [found.total, *([found.hourly] if found.hourly else [])]
    rows = [["change", *(money(each.change, signed=True) for each in columns)]]
    for name in _parts(found.total):
        figures = [_parts(each)[name] for each in columns]
        if any(figures) or not name.startswith(" "):
            rows.append([f"{name}: {_WORDS[name.strip()]}", *(money(part, signed=True) for part in figures)])
    print_table(["", "total", "an hour"][: len(columns) + 1], rows)
    print()
    _print_moved([each for each in found.moved if each.change.change][:_SHOWN], hourly=found.hourly is not None)
    if len(found.moved) > _SHOWN:
        say(f"{_SHOWN} of {len(found.moved)} that moved most; --json has all")


def _parts(change: "CostChange") -> Mapping[str, int]:
    rows: dict[str, int] = {}
    for name, part in change.parts.items():
        rows[name] = part
        if name == "tokens":
            rows |= {f"  {kind}": each for kind, each in change.tokens.items()}
    return rows


def _print_moved(moved: list["Moved"], *, hourly: bool) -> None:
    if not moved:
        return
    names = [name for name in ("route", "model") if getattr(moved[0], name) is not None]
    parts = list(moved[0].change.parts)
    head = [*names, "before", "after", "an hour" if hourly else "change", *parts]
    rows = [
        [
            *(word(getattr(each, name)) for name in names),
            money(each.change.before),
            money(each.change.after),
            money(each.change.change, signed=True),
            *(money(each.change.parts[name], signed=True) for name in parts),
        ]
        for each in moved
    ]
    print_table(head, rows, left=len(names))


def _span(period: "Period") -> str:
    from watchkeeper.foundation.clock import format_time

    return f"{format_time(period.since)[:16]}Z to {format_time(period.until)[:16]}Z"
