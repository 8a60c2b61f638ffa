"""`score`: sample live answers and score them now, or say what that would cost."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json
from watchkeeper.cli.instants import instant_of
from watchkeeper.foundation.errors import Misconfigured

if TYPE_CHECKING:
    from watchkeeper.scoring.planning import Preview, Run


def score(
    route: Annotated[list[str] | None, typer.Option("--route", help="Only this route. Repeatable.")] = None,
    since: Annotated[
        str, typer.Option("--since", help="What started from then on: 2026-11-24T10:00:00Z or 24h, 7d.")
    ] = "24h",
    max_usd: Annotated[
        float | None,
        typer.Option(
            "--max-usd", min=0, help="Most to spend; default: what is left of the day's budget.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many answers, and what it would cost.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Sample live answers and score them now. Stopped or cut short, the same command goes on from there."""
    from watchkeeper.app import open_app
    from watchkeeper.foundation.money import nano_usd
    from watchkeeper.jobs import scoring

    with open_app(config) as app:
        start = instant_of("--since", since, app.clock.now())
        assert start is not None
        if start >= app.clock.now():
            raise Misconfigured(f"--since {since!r} is in the future")
        most = None if max_usd is None else nano_usd(max_usd)
        if dry_run:
            told = scoring.preview(app, routes=route or (), since=start, most_nano_usd=most)
            print_json(_preview_document(told)) if as_json else print("\n".join(_preview_lines(told)))
            return
        done = scoring.score_live(app, routes=route or (), since=start, most_nano_usd=most)
    print_json(run_document(done)) if as_json else print("\n".join(_run_lines(done)))


def run_document(done: "Run") -> dict[str, Any]:
    """A run as JSON; money in US dollars, null where nothing is priced."""
    from watchkeeper.foundation.money import usd

    return {
        "rate": done.rate,
        "target_rate": done.target,
        "interval_width_ratio": round(done.wider, 3),
        "chosen": done.chosen,
        "raised": done.raised,
        "scores": done.scored,
        "missing": done.missing,
        "cached": done.cached,
        "waiting": done.waiting,
        "cost_usd": None if done.cost_nano_usd is None else usd(done.cost_nano_usd),
        "spent_today_usd": usd(done.spent_nano_usd),
    }


def _run_lines(done: "Run") -> list[str]:
    from watchkeeper.foundation.money import show_usd

    lines = [
        f"{done.chosen} answers chosen, {done.raised} raised; {done.scored} scores ({done.missing} missing, "
        f"{done.cached} known already)"
    ]
    if done.cost_nano_usd is not None or done.spent_nano_usd:
        lines.append(f"cost {show_usd(done.cost_nano_usd or 0)}, {show_usd(done.spent_nano_usd)} today")
    if done.waiting:
        lines.append(f"{done.waiting} chosen answers wait for a score; the same command goes on with them")
    lines += _rate_lines(done.rate, done.target)
    return lines


def _rate_lines(rate: float, target: float) -> list[str]:
    if rate >= target:
        return [f"rate {100 * rate:.3g} % of ordinary answers"]
    wider = (target / rate) ** 0.5
    return [
        f"rate {100 * rate:.3g} % instead of {100 * target:.3g} %, for the money is short: intervals about "
        f"{wider:.1f} times as wide"
    ]


def _preview_document(told: "Preview") -> dict[str, Any]:
    return {
        "rate": told.rate,
        "target_rate": told.target,
        "eligible": told.eligible,
        "would_choose": told.new,
        "waiting": told.waiting,
        "cost_usd": told.cost_nano_usd / 1e9,
        "assumed": list(told.assumed),
    }


def _preview_lines(told: "Preview") -> list[str]:
    source = "from what a score cost lately"
    if told.assumed:
        source = f"at one US cent a judgement, for {', '.join(told.assumed)} made none yet"
    return [
        f"{told.eligible:,} eligible answers; {told.new:,} would be chosen, {told.waiting:,} chosen ones lack a score",
        f"about ${told.cost_nano_usd / 1e9:,.2f}, {source}",
        *_rate_lines(told.rate, told.target),
    ]
