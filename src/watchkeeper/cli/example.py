"""`init` and `demo`: a working project, and the whole thread on simulated traffic."""

from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.cli.console import say


def init(
    folder: Annotated[Path, typer.Argument(help="Where to make the project; made when it is not there.")],
) -> None:
    """A working project: watchkeeper.toml, an example suite, a prompt, a runbook folder."""
    from watchkeeper.cli.scaffold import scaffold

    for path in scaffold(folder):
        print(path)
    say(f"next: cd {folder}; watchkeeper doctor; watchkeeper up")


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop when the incident is shown.")] = False,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the demo's files go; emptied first if it is a demo's.")
    ] = Path(".watchkeeper/demo"),
    seed: Annotated[int, typer.Option("--seed", help="Of the simulated traffic and model.")] = 7,
) -> None:
    """The example application with SIMULATED traffic and model: an upgrade breaks its output format."""
    from watchkeeper.cli.demonstration import demonstrate

    demonstrate(folder.resolve(), seed=seed, once=once)
