"""`spend`: who spends most, and whether the invoice agrees."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchkeeper.cli import invoices
from watchkeeper.cli.conditions import WhereOption, conditions
from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.cli.tabular import money, print_table, word
from watchkeeper.foundation.errors import Misconfigured

if TYPE_CHECKING:
    from watchkeeper.spending.top import Ranking

app = typer.Typer(no_args_is_help=True, help="Who spends most, and whether the invoice agrees.")

_SPAN_HELP = "ISO time with a zone, or an age: 24h, 7d."


@app.command("top")
def top(
    of: Annotated[Literal["segment", "job", "session"], typer.Argument(help="Whose spend; never a user's.")],
    since: Annotated[str, typer.Option("--since", help=f"From then on. {_SPAN_HELP}")] = "7d",
    until: Annotated[
        str | None, typer.Option("--until", help=f"Before then; default: now. {_SPAN_HELP}", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many.")] = 20,
    where: WhereOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The segments, jobs or sessions that cost most, how concentrated that is, and which are new.

    New: without a request in the window of the same length before.
    """
    from watchkeeper.app import open_app
    from watchkeeper.spending import service
    from watchkeeper.spending.change import Period

    asked = conditions(where)
    with open_app(config) as opened:
        now = opened.clock.now()
        start, end = instant_of("--since", since, now), instant_of("--until", until, now) or now
        assert start is not None
        if start >= end:
            raise Misconfigured("--since must be before --until")
        window = Period(since=start, until=end)
        found = service.ranking(
            opened.store, opened.settings.store.facts, of, window, limit=limit, where=asked
        )  # fmt: skip
    if as_json:
        print_json(_ranking(found, of))
    else:
        _print_ranking(found, of)


app.command("reconcile")(invoices.reconcile)


def _ranking(found: "Ranking", of: str) -> dict[str, Any]:
    from watchkeeper.foundation.money import usd

    return {
        "of": of,
        "count": found.count,
        "new": found.new,
        "total_usd": usd(found.total_nano_usd),
        "unpriced": found.unpriced,
        "without": {"requests": found.nameless, "cost_usd": usd(found.nameless_nano_usd)},
        "concentration": [{"first": first, "share": share} for first, share in found.concentration.items()],
        "top": [
            {
                of: each.name,
                "cost_usd": usd(each.cost_nano_usd),
                "share": each.share,
                "requests": each.requests,
                "unpriced": each.unpriced,
                "new": each.new,
                "before_usd": None if each.before_nano_usd is None else usd(each.before_nano_usd),
            }
            for each in found.spenders
        ],
    }


def _print_ranking(found: "Ranking", of: str) -> None:
    rows = [
        [
            word(each.name),
            money(each.cost_nano_usd),
            "-" if each.share is None else f"{each.share:.1%}",
            f"{each.requests:,}",
            "new" if each.before_nano_usd is None else money(each.before_nano_usd),
        ]
        for each in found.spenders
    ]
    print_table([of, "cost", "of all", "requests", "before"], rows)
    for first, share in found.concentration.items():
        if first * found.count >= 1:
            print(f"the first {first:.0%} of {found.count:,} {of}s have {share:.1%}")
    if found.nameless:
        say(f"{found.nameless:,} requests name no {of}: {money(found.nameless_nano_usd)}")
    if found.new:
        say(f"{found.new:,} of {found.count:,} are new")
    if found.unpriced:
        say(f"{found.unpriced:,} calls have no price and are in no figure")
