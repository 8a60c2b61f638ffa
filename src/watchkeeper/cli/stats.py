"""`stats`: the arithmetic on your own file; no store, no configuration, no network."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.console import JsonOption, print_json
from watchkeeper.cli.stats_figures import COMMANDS, FileArgument

if TYPE_CHECKING:
    from watchkeeper.stats.paired import Comparison

app = typer.Typer(
    no_args_is_help=True, help="The arithmetic on your own file: rows in, a verdict with its figures out."
)

for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


@app.command("compare")
def compare_file(
    file: FileArgument,
    margin: Annotated[float, typer.Option("--margin", help="The loss you accept; 0.05 is five points.")] = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Did the candidate lose against the baseline on the same cases?

    A row: {"case", "baseline", "candidate", "repeat"?, "group"?}; scores in [0, 1] or true/false, null where
    one is missing. Exit code: 1 a group regressed, else 3 one is inconclusive, else 0.
    """
    from watchkeeper.cli.paired_rows import read_pairs
    from watchkeeper.foundation.errors import Misconfigured, NothingToCheck
    from watchkeeper.stats.paired import as_document, compare
    from watchkeeper.stats.planning import check_margin

    try:
        check_margin(margin)
    except ValueError as error:
        raise Misconfigured(f"--margin: {error}") from None
    groups = read_pairs(file)
    if not groups:
        raise NothingToCheck(f"{file}: no rows, nothing to compare")
    compared = {name: compare(pairs, margin=margin) for name, pairs in groups.items()}
    if as_json:
        print_json({"groups": {name: as_document(c, name=name, primary=True) for name, c in compared.items()}})
    else:
        _print_table(compared)
    verdicts = {comparison.verdict for comparison in compared.values()}
    raise typer.Exit(1 if "regressed" in verdicts else 3 if "inconclusive" in verdicts else 0)


def _print_table(compared: "dict[str, Comparison]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("group", "cases", "baseline", "candidate", "difference (95 % interval)", "p worse", "verdict"):
        table.add_column(title, justify="right" if title in {"cases", "baseline", "candidate", "p worse"} else "left")
    colours = {"pass": "green", "regressed": "red", "inconclusive": "yellow"}
    for name, c in compared.items():
        difference = "-"
        if c.difference is not None and c.interval is not None:
            difference = f"{c.difference:+.3f} ({c.interval[0]:+.3f} to {c.interval[1]:+.3f})"
        cells: list[Any] = [str(c.cases), _number(c.baseline_mean, ".3f"), _number(c.candidate_mean, ".3f"), difference]
        verdict = f"[bold {colours[c.verdict]}]{c.verdict}[/]"
        table.add_row(escape(_shown(name)), *cells, _number(c.p_value, ".2g"), verdict)
    console = Console(soft_wrap=False)
    console.print(table)
    for name, c in compared.items():
        console.print(escape(f"{_shown(name)}: {c.reason}"), highlight=False, soft_wrap=True)
        if c.detectable is not None:
            find = "1 case finds" if c.cases == 1 else f"{c.cases} cases find"
            seen = f"{_shown(name)}: {find} a loss of {100 * c.detectable:.1f} points with 80 %"
            changed = f"; {c.lost} lost, {c.gained} gained" if c.method == "binary" else "; graded or repeated scores"
            console.print(escape(seen + changed), highlight=False, soft_wrap=True)


def _shown(name: str) -> str:
    """A group's name on one line, whatever is in it."""
    return name if name.isprintable() else ascii(name)[1:-1]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
