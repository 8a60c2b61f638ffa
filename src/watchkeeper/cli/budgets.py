"""`budgets`: what was spent of each, whether it goes too fast, and when it ends."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

if TYPE_CHECKING:
    from watchkeeper.budgets.service import Checked

app = typer.Typer(no_args_is_help=True, help="What was spent of each budget, and when it ends.")


@app.callback()
def _group() -> None:
    pass


@app.command("check")
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Of budgets; default: all.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check budgets now, as the schedule does. Exit 1: one is burning or exceeded; says why and what changed."""
    from watchkeeper.app import open_app
    from watchkeeper.jobs.budgets import check_budgets, demand_budgets

    with open_app(config) as opened:
        demand_budgets(opened)
        checked = check_budgets(opened, names or [])
    if as_json:
        print_json({"budgets": [document(each) for each in checked]})
    else:
        for each in checked:
            _print(each)
    if any(each.verdict != "within" for each in checked):
        raise typer.Exit(1)


def document(checked: "Checked") -> dict[str, Any]:
    """One budget after a check; money in US dollars."""
    from watchkeeper.budgets.words import evidence, forecast_values
    from watchkeeper.foundation.clock import format_time
    from watchkeeper.foundation.money import usd

    now = checked.now
    shown = evidence(now, checked.memory, None)
    return {
        "name": now.budget.name,
        "verdict": checked.verdict,
        "spend": now.budget.spend,
        "period": {
            "kind": shown["period"],
            "starts": format_time(now.term.starts),
            "ends": None if now.term.ends is None else format_time(now.term.ends),
        },
        "limit_usd": usd(now.budget.limit_nano_usd),
        "spent_usd": usd(now.spent_nano_usd),
        "requests": now.rows,
        "unpriced_calls": now.unpriced,
        "crossed": list(now.crossed),
        "newly_crossed": list(checked.news),
        "rules": shown["rules"],
        "burn": {name: shown.get(name) for name in ("money", "volume")},
        "unit_cost_usd": shown.get("unit_cost_usd"),
        "forecast": None if now.forecast is None else forecast_values(now.forecast),
        "findings": [
            {"kind": f.kind, "severity": f.severity, "summary": f.summary, "evidence": f.evidence}
            for f in checked.findings
        ],
    }


def _print(checked: "Checked") -> None:
    from watchkeeper.budgets.words import state_line

    print(state_line(checked.now, checked.verdict))
    for finding in checked.findings:
        print(f"  {finding.kind}: {finding.summary}")
    if not checked.now.rows:
        budget = checked.now.budget
        if budget.spend == "llm":
            say(f"{budget.name}: nothing was recorded in this period; look at where and at the records")
        else:
            say(f'{budget.name}: no record of this period has source = "{budget.spend}"; see docs/budgets.md')
