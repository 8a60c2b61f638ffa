"""`prices`: what calls cost, which have no cost, and reckoning again."""

from collections.abc import Sequence
from typing import Annotated

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.foundation.errors import Misconfigured, NotFound

app = typer.Typer(no_args_is_help=True, help="What calls cost, and which have no price.")

_SPAN_HELP = "ISO time with a zone, or an age: 30m, 24h, 7d."


@app.command("check")
def check(
    since: Annotated[
        str | None, typer.Option("--since", help=f"Calls from then on; default: all. {_SPAN_HELP}", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Price every stored call that has no cost. Exit 1: some still have none; says which and why."""
    from watchkeeper.app import open_app
    from watchkeeper.cost import service
    from watchkeeper.cost.unpriced import WHY
    from watchkeeper.jobs.prices import price_list, tell_unpriced

    with open_app(config) as opened:
        now = opened.clock.now()
        start = instant_of("--since", since, now)
        done = service.price_calls(opened.store, price_list(opened.settings), start, now=now)
        tell_unpriced(opened)
        groups = service.unpriced_groups(opened.store, start)
        total = service.count_calls(opened.store, start)
    left = sum(group.calls - group.failed for group in groups)
    failed = sum(group.failed for group in groups)
    if as_json:
        print_json(
            {
                "calls": total,
                "priced": done.priced,
                "unpriced": left,
                "failed_without_cost": failed,
                "models": [
                    {
                        "provider": group.provider,
                        "model": group.model,
                        "reason": group.reason,
                        "detail": group.detail,
                        "calls": group.calls,
                        "failed": group.failed,
                    }
                    for group in groups
                ],
            }
        )
    else:
        print(f"{total} calls, {done.priced} priced now, {left} without a cost")
        rows = [
            (
                str(group.calls - group.failed),
                f"{_word(group.provider)}/{_word(group.model)}",
                group.reason or "waiting",
                WHY[group.reason],
            )
            for group in groups
            if group.calls > group.failed
        ]
        _table(("calls", "model", "reason", ""), rows)
        if failed:
            say(f"{failed} calls that failed have no cost either; they are not counted")
    if left:
        raise typer.Exit(1)


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As the provider names it, or PROVIDER/MODEL.")],
    provider: Annotated[
        str | None, typer.Option("--provider", help="Default: the model's name decides.", show_default=False)
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help=f"Default: now. {_SPAN_HELP}", show_default=False)] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """The rates of one model, US dollars per million tokens, and where they come from."""
    from watchkeeper.cost.prices import Unpriced
    from watchkeeper.foundation.clock import SystemClock, format_time
    from watchkeeper.jobs.prices import price_list
    from watchkeeper.settings import find_config, load_settings

    now = SystemClock().now()
    when = instant_of("--at", at, now) or now
    prices = price_list(load_settings(find_config(config)))
    card = prices.card(provider, model, at=when)
    if isinstance(card, Unpriced) and provider is None and "/" in model:
        named, _, rest = model.partition("/")
        card = prices.card(named, rest, at=when)
    if isinstance(card, Unpriced):
        say(f"watchkeeper: {card.detail}; state a rate of your own: [[prices.overrides]] in watchkeeper.toml")
        raise typer.Exit(NotFound.exit_code)
    if as_json:
        print_json(
            {
                "provider": card.provider,
                "model": card.model,
                "at": format_time(when),
                "usd_per_million": card.usd_per_million,
                "steps": {
                    bucket: [{"from_input_tokens": start, "usd_per_million": rate} for start, rate in steps]
                    for bucket, steps in card.steps.items()
                },
                "source": card.source,
                "price_id": card.price_id,
            }
        )
        return
    print(f"{_word(card.provider)}/{card.model} at {format_time(when)[:16]}Z")
    for bucket, rate in card.usd_per_million.items():
        unit = "a call" if bucket == "requests" else "a million tokens"
        more = "".join(f", ${_amount(r)} from {start:,} input tokens on" for start, r in card.steps.get(bucket, ()))
        print(f"  {bucket:<12} ${_amount(rate)} {unit}{more}")
    print(f"  from {card.price_id}")


@app.command("reprice")
def reprice(
    since: Annotated[str, typer.Option("--since", help=f"Calls from then on. {_SPAN_HELP}")],
    until: Annotated[str | None, typer.Option("--until", help=f"Before then. {_SPAN_HELP}", show_default=False)] = None,
    why: Annotated[str, typer.Option("--why", help="Kept beside the old figures.")] = "prices reprice",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Reckon stored costs again with today's prices; the old figures are kept. Costs that came with records stay."""
    from watchkeeper.app import open_app
    from watchkeeper.cost import service
    from watchkeeper.foundation.money import show_usd, usd
    from watchkeeper.jobs.prices import price_list

    with open_app(config) as opened:
        now = opened.clock.now()
        start, end = instant_of("--since", since, now), instant_of("--until", until, now)
        assert start is not None
        if end and start >= end:
            raise Misconfigured("--since must be before --until")
        done = service.reprice(
            opened.store, price_list(opened.settings), start, end, why=why, now=now, dry_run=dry_run
        )  # fmt: skip
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "changed": done.changed,
                "models": [
                    {
                        "provider": each.provider,
                        "model": each.model,
                        "calls": each.calls,
                        "changed": each.changed,
                        "price_unknown_now": each.unknown,
                        "old_usd": usd(each.old_nano_usd),
                        "new_usd": usd(each.new_nano_usd),
                    }
                    for each in done.models
                ],
            }
        )
        return
    print(f"{done.changed} calls {'would change' if dry_run else 'changed'}")
    rows = [
        (
            f"{_word(each.provider)}/{_word(each.model)}",
            f"{each.changed} of {each.calls}",
            show_usd(each.old_nano_usd),
            show_usd(each.new_nano_usd),
        )
        for each in done.models
    ]
    _table(("model", "calls", "old", "new"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _word(name: str | None) -> str:
    """A name from outside, on one line and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in name)[:80] if name else "?"


def _amount(rate: object) -> str:
    text = f"{rate:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
