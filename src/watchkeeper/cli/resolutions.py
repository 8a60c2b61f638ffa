"""`resolutions cost`: what a resolved job costs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.cli.tabular import money, print_table, word
from watchkeeper.foundation.errors import Misconfigured

if TYPE_CHECKING:
    from watchkeeper.spending.resolutions import Group, ResolutionCosts

app = typer.Typer(no_args_is_help=True, help="Jobs that were resolved or not.")

_SHOWN = 50


@app.callback()
def _resolutions() -> None:
    pass


@app.command("cost")
def cost(
    by: Annotated[
        str, typer.Option("--by", metavar="A,B", help="Labels, e.g. route,prompt_version,model; none: the whole.")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", help="Jobs that began from then on: ISO time with a zone, or an age.")
    ] = "30d",
    timeout: Annotated[
        str, typer.Option("--timeout", help="Age from which a job that nobody called resolved counts as not resolved.")
    ] = "72h",
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="SOURCE", help="Count the requests of judge or regression too. Repeatable."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Cost of all attempts of the jobs, those in vain too, over the jobs that were resolved.

    A job belongs to the labels of its first request, and to the model that cost most in it.
    """
    from watchkeeper.app import open_app
    from watchkeeper.foundation.clock import parse_age
    from watchkeeper.spending import service
    from watchkeeper.spending.resolutions import OWN_SOURCES

    labels = list(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    included = [name.strip() for text in include or () for name in text.split(",")]
    for name in included:
        if name not in OWN_SOURCES:
            raise Misconfigured(f"--include {name!r}: write {' or '.join(OWN_SOURCES)}; all else is counted anyway")
    try:
        age = parse_age(timeout)
    except (ValueError, OverflowError):
        raise Misconfigured(f"--timeout {timeout!r}: write 24h, 72h or 7d") from None
    with open_app(config) as opened:
        now = opened.clock.now()
        start = instant_of("--since", since, now)
        assert start is not None
        if start >= now:
            raise Misconfigured("--since must be before now")
        found = service.resolution_costs(
            opened.store, opened.settings.store.facts, start, now, by=labels, timeout=age, include=included
        )  # fmt: skip
    if as_json:
        print_json(_document(found, timeout))
    else:
        _print(found)


def _document(found: "ResolutionCosts", timeout: str) -> dict[str, Any]:
    from watchkeeper.foundation.money import usd

    def group(each: "Group") -> dict[str, Any]:
        ratio = each.ratio
        return {
            "usd_per_resolution": ratio.value,
            "interval": ratio.interval,
            "cost_usd": usd(each.cost_nano_usd),
            "jobs": ratio.units,
            "resolved": ratio.got,
            "attempts": each.attempts,
            "late": each.late,
            "open": each.open,
            "partly_unpriced": each.partly_unpriced,
            "unpriced": each.unpriced,
            "spanning": each.spanning,
        }

    return {
        "by": list(found.by),
        "timeout": timeout,
        "groups": [{**dict(zip(found.by, each.labels, strict=True)), **group(each)} for each in found.groups],
        "whole": group(found.whole),
        "requests_without_job": found.without_job,
        "began_before": found.began_before,
    }


def _print(found: "ResolutionCosts") -> None:
    whole = found.whole
    groups = found.groups[:_SHOWN] if found.by else [whole]
    rows = [
        [
            *(word(label) for label in each.labels),
            "-" if each.ratio.value is None else _usd(each.ratio.value),
            "-" if each.ratio.interval is None else f"{_usd(each.ratio.interval[0])} to {_usd(each.ratio.interval[1])}",
            money(each.cost_nano_usd),
            f"{each.ratio.got:,} of {each.ratio.units:,}",
            f"{each.attempts:,}",
            f"{each.open:,}",
        ]
        for each in groups
    ]
    head = [*found.by, "a resolution", "95 % interval", "cost", "resolved", "attempts", "open"]
    print_table(head, rows, left=len(found.by))
    said = [
        (whole.partly_unpriced, "jobs have calls without a price: they cost at least what is counted"),
        (whole.unpriced, "jobs have no price at all and are left out"),
        (whole.late, "were resolved after the timeout, and count as resolved"),
        (whole.spanning if found.by else 0, "jobs went on with other labels; they count where they began"),
        (found.began_before, "jobs began before the window and are left out"),
        (found.without_job, "requests name no job"),
    ]
    for count, words in said:
        if count:
            say(f"{count:,} {words}")


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"
