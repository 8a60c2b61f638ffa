"""A verdict as people read it: one table, what changed, what to do next."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_COLOURS = {"pass": "green", "regressed": "red", "inconclusive": "yellow"}


def print_verdict(document: dict[str, Any], console: Console | None = None) -> None:
    """Print the document of INTERFACES section 4 as a table with its reasons below."""
    console = console or _console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (
        "suite",
        "scorer",
        "cases",
        "baseline",
        "candidate",
        "difference",
        "95 % interval",
        "margin",
        "verdict",
    ):
        words = title in {"suite", "scorer", "verdict"}
        table.add_column(title, justify="left" if words else "right", no_wrap=title != "scorer")
    for suite in document["suites"]:
        for scorer in suite["scorers"]:
            table.add_row(
                escape(suite["suite"]),
                escape(scorer["name"]) + ("" if scorer["primary"] else " (watched)"),
                str(suite["cases"]),
                _mean(scorer["baseline_mean"]),
                _mean(scorer["candidate_mean"]),
                *_difference(scorer),
                f"{scorer['margin']:g}",
                _coloured(scorer["verdict"]),
            )
            for part in scorer["slices"]:
                table.add_row(
                    "",
                    f"  {escape(part['field'])} {escape(part['name'])}",
                    str(part["cases"]),
                    _mean(part["baseline_mean"]),
                    _mean(part["candidate_mean"]),
                    *_difference(part),
                    "",
                    f"[dim]{part['finding']}¹[/dim]",
                )
    console.print(table)
    for suite in document["suites"]:
        for line in _notes(suite):
            console.print(escape(line), highlight=False, soft_wrap=True)
    if any(scorer["slices"] for suite in document["suites"] for scorer in suite["scorers"]):
        console.print("[dim]¹ exploratory: says where, decides nothing[/dim]", highlight=False)
    console.print(f"\nverdict: {_coloured(document['verdict'])}   run {document['run_id']}", highlight=False)
    if document["override"]:
        console.print(
            escape(f"overridden by {document['override']['by']}: {document['override']['why']}"), highlight=False
        )


def _notes(suite: dict[str, Any]) -> list[str]:
    name = suite["suite"]
    lines = []
    for scorer in suite["scorers"]:
        if scorer["primary"] or scorer["verdict"] != "pass":
            found = scorer["detectable"]
            seen = "" if found is None else f"; finds a loss of {100 * found:.1f} points with 80 %"
            lines.append(f"{name}/{scorer['name']}: {scorer['reason']}{seen}")
        for reason, count in scorer["unscored"].items():
            lines.append(f"{name}/{scorer['name']}: {count} answers not scored: {reason}")
    for title, ids in (("newly failing", suite["newly_failing"]), ("newly passing", suite["newly_passing"])):
        if ids:
            more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
            lines.append(f"{name}: {len(ids)} {title}: {', '.join(ids[:5])}{more}")
    retried = sum(suite["retried"].values())
    if retried or suite["errors"]:
        kinds: dict[str, int] = {}
        for error in suite["errors"]:
            kinds[error["error_type"]] = kinds.get(error["error_type"], 0) + 1
        missing = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
        lines.append(f"{name}: {retried} calls retried; missing for good: {missing}")
    cost, latency = suite["cost_usd"], suite["latency_ms"]
    lines.append(
        f"{name}: cost {_usd(cost['baseline'])} -> {_usd(cost['candidate'])}"
        + ("" if cost["judge"] == 0 else f", judge {_usd(cost['judge'])}")
        + (f" ({sum(suite['unpriced'].values())} answers unpriced)" if any(suite["unpriced"].values()) else "")
        + f"; latency p50 {_ms(latency['baseline']['p50'])} -> {_ms(latency['candidate']['p50'])}, "
        f"p95 {_ms(latency['baseline']['p95'])} -> {_ms(latency['candidate']['p95'])}"
        + ("; baseline answers reused" if suite["baseline"]["reused"] else "")
    )
    return lines


def _coloured(verdict: str) -> str:
    return f"[bold {_COLOURS[verdict]}]{verdict}[/]"


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _difference(scorer: dict[str, Any]) -> tuple[str, str]:
    if scorer["difference"] is None or scorer["interval"] is None:
        return "-", "-"
    low, high = scorer["interval"]
    return f"{scorer['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}"


def _console() -> Console:
    """As wide as the terminal; in a file or a pipe as wide as the table."""
    console = Console(soft_wrap=False)
    return console if console.is_terminal else Console(soft_wrap=False, width=max(console.width, 160))


def _usd(value: float | None) -> str:
    return "unpriced" if value is None else f"${value:.4f}" if value < 1 else f"${value:.2f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
