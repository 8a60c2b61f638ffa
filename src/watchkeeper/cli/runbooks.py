"""`runbooks`: read a page; hold the pages against the kinds and the commands there are."""

from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from watchkeeper.incidents.runbook import RunbookShelf

app = typer.Typer(no_args_is_help=True, help="What to do, one page for each kind of incident.")


@app.command("show")
def show_page(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="An incident kind, e.g. model-regressed.")],
    incident: Annotated[
        str | None,
        typer.Option(
            "--incident", help="Fill the page from this incident, by id or its beginning.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """One page: the team's own where there is one, else ours."""
    from watchkeeper.incidents.runbook import filled

    shelf = _shelf(config)
    labels = _labels(incident, config) if incident else {}
    body = filled(shelf.page(kind), labels)
    if as_json:
        print_json({"kind": kind, "first_move": filled(shelf.first_move(kind), labels), "markdown": body})
        return
    print(body.rstrip())


@app.command("lint")
def lint_pages(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every kind has a page, every page its headings, every command in it exists. Exit 1 when not."""
    from watchkeeper.cli.grammar import parses
    from watchkeeper.incidents.kinds import KINDS
    from watchkeeper.incidents.runbook_lint import lint

    problems = lint(_shelf(config), parses=parses)
    if as_json:
        print_json([{"where": problem.where, "what": problem.what} for problem in problems])
    else:
        for problem in problems:
            print(problem)
        if not problems:
            say(f"{len(KINDS)} kinds, every page holds")
    if problems:
        raise typer.Exit(1)


def _labels(incident_id: str, config: "Path | None") -> dict[str, str]:
    from watchkeeper.app import open_app
    from watchkeeper.incidents import service
    from watchkeeper.incidents.runbook import labels_of

    with open_app(config) as opened:
        return labels_of(service.show(opened.store, incident_id))


def _shelf(config: "Path | None") -> "RunbookShelf":
    """The shelf of the installation; where there is none, our pages alone."""
    import os

    from watchkeeper.foundation.errors import Misconfigured
    from watchkeeper.foundation.packaged import packaged
    from watchkeeper.incidents.runbook import RunbookShelf
    from watchkeeper.settings import find_config, load_settings

    ours = packaged("runbooks")
    try:
        path = find_config(config)
    except Misconfigured:
        if config is not None or os.environ.get("WATCHKEEPER_CONFIG"):
            raise
        return RunbookShelf((ours,))
    return RunbookShelf((load_settings(path).runbooks.path, ours))
