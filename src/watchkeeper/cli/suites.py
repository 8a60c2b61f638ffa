"""`suites`: what guards which route, and how to make one from recorded calls."""

from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

app = typer.Typer(no_args_is_help=True, help="Regression suites.")


@app.command("list")
def list_suites(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every suite, the routes it guards, its cases and scorers; a malformed one is named and exits 2."""
    from watchkeeper.app import configured_suite
    from watchkeeper.foundation.errors import NothingToCheck
    from watchkeeper.regression.suite_files import suite_names
    from watchkeeper.settings import find_config, load_settings

    settings = load_settings(find_config(config))
    names = suite_names(settings.suites.path)
    if not names:
        raise NothingToCheck(f"no suites in {settings.suites.path}")
    suites = [configured_suite(settings, name) for name in names]
    if as_json:
        print_json(
            [
                {
                    "suite": suite.name,
                    "suite_version": suite.version,
                    "description": suite.description,
                    "routes": list(suite.routes),
                    "cases": len(suite.cases),
                    "scorers": [scorer.name for scorer in suite.scorers],
                }
                for suite in suites
            ]
        )
        return
    for suite in suites:
        routes = ", ".join(suite.routes) or "no route"
        scorers = ", ".join(scorer.name for scorer in suite.scorers)
        print(f"{suite.name}: {len(suite.cases)} cases, guards {routes}; scored by {scorers}")
        if suite.description:
            print(f"  {suite.description}")


@app.command("from-recording")
def from_recording(
    files: Annotated[list[Path], typer.Argument(help="Recorded calls, .jsonl or .jsonl.gz.")],
    into: Annotated[Path, typer.Option("--into", help="Folder of the suite; its cases.jsonl is written.")],
) -> None:
    """Write a suite's cases.jsonl from recorded calls: one case for each case_id or prompt."""
    import json
    import os

    from watchkeeper.foundation.errors import Misconfigured, NothingToCheck
    from watchkeeper.regression.recorded_cases import cases_of

    cases = cases_of(files)
    if not cases:
        raise NothingToCheck(f"{', '.join(map(str, files))}: no recorded calls")
    target = into / "cases.jsonl"
    try:
        into.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_suffix(".jsonl.tmp")
        unfinished.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases), "utf-8")
        os.replace(unfinished, target)
    except OSError as error:
        raise Misconfigured(f"{target}: cannot be written: {error.strerror}") from None
    say(f"{target}: {len(cases)} cases")
