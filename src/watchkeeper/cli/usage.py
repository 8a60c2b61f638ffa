"""`usage`: requests, cost, tokens, errors and speed of any window, broken down by any labels."""

import csv
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchkeeper.cli.conditions import conditions
from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.foundation.errors import Misconfigured

if TYPE_CHECKING:
    from watchkeeper.facts.usage import Usage

Order = Literal["cost", "requests", "p95", "time"]

_SPAN_HELP = "ISO time with a zone, or an age: 30m, 24h, 7d."
_SHOWN = 50
_MOST_BUCKETS = 100_000


def usage(
    by: Annotated[
        str, typer.Option("--by", metavar="A,B", help="Labels, e.g. route,model,prompt_version; none: the whole.")
    ] = "",
    since: Annotated[str, typer.Option("--since", help=f"From then on. {_SPAN_HELP}")] = "7d",
    until: Annotated[
        str | None, typer.Option("--until", help=f"Before then; default: now. {_SPAN_HELP}", show_default=False)
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", help="A row for each 1h, 1d, 15m of it, UTC.", show_default=False)
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="LABEL=VALUE", help="Only those; LABEL= is those without it. Repeatable."),
    ] = None,
    order: Annotated[
        Order | None, typer.Option("--order", help="Most first; default: cost, with --every time.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Rows; default: 50 in a table, else all.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values on stdout.")] = False,
    config: ConfigOption = None,
) -> None:
    """Requests, cost, tokens, errors, exact p50 and p95 of any window, by any labels.

    With a label of calls (model, provider, finish_reason) it counts calls, and errors and durations are theirs.
    """
    from watchkeeper.app import open_app
    from watchkeeper.facts import service

    if as_json and as_csv:
        raise Misconfigured("--json and --csv: write one of them")
    labels = list(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    with open_app(config) as app:
        now = app.clock.now()
        start, end = instant_of("--since", since, now), instant_of("--until", until, now) or now
        assert start is not None
        if start >= end:
            raise Misconfigured("--since must be before --until")
        bucket = _bucket(every, end - start)
        rows = service.usage(
            app.store, app.settings.store.facts, start, end, by=labels, every=bucket, where=conditions(where)
        )
    rows = sorted(rows, key=_ORDERS[order or ("time" if bucket else "cost")])
    most = limit or (None if as_json or as_csv else _SHOWN)
    # Of rows by time the newest are what somebody looks for.
    shown = rows[-most:] if most and bucket and order in (None, "time") else rows[:most]
    if as_json:
        print_json(_document(shown, start, end, every))
    elif as_csv:
        _print_csv(shown, labels, bucket is not None)
    else:
        _print_table(shown, labels, bucket)
        if not rows:
            say("nothing in this window; look at --since, --until and --where")
        if len(shown) < len(rows):
            say(f"{len(shown)} of {len(rows)} rows; --limit shows more")


def _bucket(every: str | None, window: timedelta) -> timedelta | None:
    from watchkeeper.foundation.clock import parse_age

    if every is None:
        return None
    try:
        bucket = parse_age(every)
    except (ValueError, OverflowError):
        raise Misconfigured(f"--every {every!r}: write 1h, 1d or 15m") from None
    if not bucket or window / bucket > _MOST_BUCKETS:
        raise Misconfigured(f"--every {every!r}: more than {_MOST_BUCKETS:,} rows of time; write a longer one")
    return bucket


def _most(value: float | None) -> tuple[bool, float]:
    """The largest first, the unknown last."""
    return value is None, -(value or 0)


_ORDERS: dict[Order, Callable[["Usage"], Any]] = {
    "cost": lambda row: _most(None if row.cost_usd is None else float(row.cost_usd)),
    "requests": lambda row: _most(row.calls if row.requests is None else row.requests),
    "p95": lambda row: _most(row.latency_ms.p95),
    "time": lambda row: row.at.timestamp() if row.at else 0,  # within it as they come: those of the most first
}


def _document(rows: Sequence["Usage"], since: datetime, until: datetime, every: str | None) -> dict[str, Any]:
    from watchkeeper.foundation.clock import format_time

    return {
        "since": format_time(since),
        "until": format_time(until),
        "every": every,
        "rows": [
            {
                **row.labels,
                **({"at": format_time(row.at)} if row.at else {}),
                "requests": row.requests,
                "calls": row.calls,
                "errors": row.errors,
                "cost_usd": row.cost_usd,
                "unpriced": row.unpriced,
                "tokens": _tokens(row),
                "latency_ms": {"p50": row.latency_ms.p50, "p95": row.latency_ms.p95},
                "ttft_ms": {"p50": row.ttft_ms.p50, "p95": row.ttft_ms.p95},
            }
            for row in rows
        ],
    }


def _tokens(row: "Usage") -> dict[str, int | None]:
    return {name: getattr(row.tokens, name) for name in ("input", "output", "cache_read", "cache_write", "reasoning")}


def _print_csv(rows: Sequence["Usage"], labels: Sequence[str], timed: bool) -> None:
    """An empty field is "not known"."""
    from watchkeeper.foundation.clock import format_time

    write = csv.writer(sys.stdout, lineterminator="\n").writerow
    counts = ["requests", "calls", "errors", "cost_usd", "unpriced"]
    tokens = ["tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write", "tokens_reasoning"]
    durations = ["latency_p50_ms", "latency_p95_ms", "ttft_p50_ms", "ttft_p95_ms"]
    write([*labels, *(["at"] if timed else []), *counts, *tokens, *durations])
    for row in rows:
        cost = None if row.cost_usd is None else f"{row.cost_usd:f}"
        speed = (row.latency_ms.p50, row.latency_ms.p95, row.ttft_ms.p50, row.ttft_ms.p95)
        counted = (row.requests, row.calls, row.errors, cost, row.unpriced)
        at = [format_time(row.at)] if row.at else []
        write([*row.labels.values(), *at, *counted, *_tokens(row).values(), *speed])


def _print_table(rows: Sequence["Usage"], labels: Sequence[str], bucket: timedelta | None) -> None:
    if not rows:
        return
    of_calls = rows[0].requests is None
    form = "%Y-%m-%d" if bucket and not bucket % timedelta(days=1) else "%m-%d %H:%M"
    heads = [*labels, *(["at"] if bucket else [])]
    figures = [*([] if of_calls else ["requests"]), "calls", "errors", "cost", "input", "output", "cached"]
    table = [[*heads, *figures, "p50", "p95", "ttft p50", "p95"]]
    for row in rows:
        cached = row.tokens.cache_read
        table.append(
            [
                *(_word(value) for value in row.labels.values()),
                *([row.at.strftime(form)] if row.at else []),
                *([] if row.requests is None else [f"{row.requests:,}"]),
                f"{row.calls:,}",
                f"{row.errors:,}",
                _cost(row),
                *("-" if count is None else f"{count:,}" for count in (row.tokens.input, row.tokens.output, cached)),
                *(_duration(ms) for of in (row.latency_ms, row.ttft_ms) for ms in (of.p50, of.p95)),
            ]
        )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = zip(line, widths, strict=True)
        aligned = [c.ljust(w) if n < len(heads) else c.rjust(w) for n, (c, w) in enumerate(cells)]
        print("  ".join(aligned).rstrip())


def _cost(row: "Usage") -> str:
    """ "$1,204.50", "$0.0042 + 3 unpriced", "3 unpriced"; "-" where there was no call."""
    parts = []
    if row.cost_usd is not None:
        parts.append(f"${row.cost_usd:,.2f}" if row.cost_usd >= 1 or not row.cost_usd else f"${row.cost_usd:.4f}")
    if row.unpriced:
        parts.append(f"{row.unpriced:,} unpriced")
    return " + ".join(parts) or "-"


def _duration(ms: float | None) -> str:
    if ms is None:
        return "-"
    return f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"


def _word(value: str | None) -> str:
    """A label from outside, on one line and without control characters."""
    return "-" if value is None else "".join(c if c.isprintable() else "?" for c in value)[:60]
