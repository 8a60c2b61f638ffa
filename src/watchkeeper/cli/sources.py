"""`records pull` and `records push`: requests from the tools that record them already, and scores back to them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.foundation.errors import NothingToCheck


def pull_records(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME…]", help="Sections [sources.NAME]; default: all of them.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="Begin there, whatever was pulled before. ISO time with a zone, or an age: 30m, 24h, 7d.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Store what other tools recorded since the last pull. Exit 4: one did not answer; 2: one is set up wrongly."""
    from watchkeeper.app import open_app
    from watchkeeper.jobs.sources import exit_code, pull_sources, tell_stopped

    with open_app(config) as opened:
        start = instant_of("--since", since, opened.clock.now())
        outcomes = pull_sources(opened, names or [], since=start)
        tell_stopped(opened)
    if as_json:
        print_json({"sources": [_document(each) for each in outcomes]})
    for each in outcomes:
        if each.error is not None:
            say(f"watchkeeper: {each.source}: {' '.join(str(each.error).split())}")
        elif not as_json:
            _print(each.pulled)
    if code := exit_code(outcomes):
        raise typer.Exit(code)


def push_scores(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help='JSON lines: {"trace_id", "name", "value", "span_id"?, "label"?, "explanation"?, "by"?}.',
        ),
    ],
    to: Annotated[str, typer.Option("--to", help="The section [sources.NAME] the requests were pulled from.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Leave scores at the source of their requests; the same file twice changes nothing. Exit 1: some were refused."""
    from watchkeeper.app import open_app
    from watchkeeper.jobs import sources
    from watchkeeper.sources.interface import Scored
    from watchkeeper.sources.score_lines import BadScore, read_scores

    scores, lines = list[Scored](), list[int]()
    rejected: list[dict[str, Any]] = []

    def reject(line: int, field: str, problem: str) -> None:
        rejected.append({"file": str(file), "line": line, "field": field or None, "message": problem})
        say(f"{file}:{line}: {field + ': ' if field else ''}{problem}")

    for number, found in read_scores(file):
        if isinstance(found, BadScore):
            reject(number, found.field, found.problem)
        else:
            scores.append(found)
            lines.append(number)
    if not scores and not rejected:
        raise NothingToCheck(f"no scores in {file}: the file is empty")
    with open_app(config) as opened:
        pushed = sources.push_scores(opened, to, scores)
    for place in pushed.unknown:
        field = "trace_id" if scores[place].span_id is None else "span_id"
        reject(lines[place], field, f"no request with this id was pulled from {to}")
    if as_json:
        print_json({"pushed": pushed.pushed, "rejected": rejected})
    else:
        print(f"{pushed.pushed} scores pushed to {to}" + (f", {len(rejected)} lines rejected" if rejected else ""))
    if rejected:
        raise typer.Exit(1)


def _document(outcome: Any) -> dict[str, Any]:
    from watchkeeper.foundation.clock import format_time

    pulled = outcome.pulled
    if pulled is None:
        return {"source": outcome.source, "error": " ".join(str(outcome.error).split())}
    return {
        "source": outcome.source,
        "error": None,
        "since": None if pulled.since is None else format_time(pulled.since),
        "until": None if pulled.until is None else format_time(pulled.until),
        "requests": pulled.requests,
        "spans": pulled.spans,
        "pages": pulled.pages,
        "feedback": pulled.feedback,
        "left_out": dict(sorted(pulled.counts.items())),
    }


def _print(pulled: Any) -> None:
    from watchkeeper.foundation.clock import format_time

    if pulled.until is None:
        print(f"{pulled.source}: nothing to read yet")
        return
    print(
        f"{pulled.source}: {pulled.requests} requests, {pulled.spans} spans, {pulled.feedback} feedback "
        f"on {pulled.pages} pages, up to {format_time(pulled.until)[:19]}Z"
    )
    for what, count in sorted(pulled.counts.items()):
        print(f"  left out: {count} × {what}")
