"""`check` and `upgrade`: may this change ship?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

if TYPE_CHECKING:
    from watchkeeper.jobs.checks import Override

FreshOption = Annotated[bool, typer.Option("--fresh", help="Ask everything again; reuse and resume nothing.")]
OverrideOption = Annotated[
    str | None,
    typer.Option(
        "--override", help="Accept a regression, saying why; it is kept with the verdict.", show_default=False
    ),
]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who overrides; default: the user of this machine.", show_default=False)
]
JUnitOption = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.", show_default=False)]
SummaryOption = Annotated[
    Path | None, typer.Option("--summary", help="Append a Markdown summary here.", show_default=False)
]


def upgrade(
    baseline: Annotated[str, typer.Option("--from", help="The model in use, PROVIDER/MODEL.")],
    candidate: Annotated[str, typer.Option("--to", help="The model it would be replaced by, PROVIDER/MODEL.")],
    fresh: FreshOption = False,
    override: OverrideOption = None,
    by: ByOption = None,
    junit: JUnitOption = None,
    summary: SummaryOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Every suite of every route on a model, asked of it and of its replacement; one verdict."""
    from watchkeeper.app import open_app
    from watchkeeper.cli.progress import progress_of
    from watchkeeper.jobs.checks import check_upgrade

    signed = _signed(override, by)
    _check_writable(junit, summary)
    with open_app(config) as app, progress_of(fresh=fresh) as on_progress:
        document = check_upgrade(
            app,
            baseline=baseline,
            candidate=candidate,
            fresh=fresh,
            override=signed,
            announce=_announce,
            on_progress=on_progress,
        )
    _finish(document, as_json=as_json, junit=junit, summary=summary)


def check(
    suites: Annotated[
        list[str] | None, typer.Argument(help="Suites to run; all of them when none is named.", show_default=False)
    ] = None,
    candidate: Annotated[str, typer.Option("--candidate", help="PROVIDER/MODEL, or PROMPT@VERSION.")] = ...,  # type: ignore[assignment]
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="PROVIDER/MODEL; default: the model of the suite's route.", show_default=False),
    ] = None,
    fresh: FreshOption = False,
    override: OverrideOption = None,
    by: ByOption = None,
    junit: JUnitOption = None,
    summary: SummaryOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run suites before a change: a candidate model or prompt version against the baseline."""
    from watchkeeper.app import open_app
    from watchkeeper.cli.progress import progress_of
    from watchkeeper.jobs.checks import check_suites

    signed = _signed(override, by)
    _check_writable(junit, summary)
    with open_app(config) as app, progress_of(fresh=fresh) as on_progress:
        document = check_suites(
            app,
            suites=suites or [],
            candidate=candidate,
            baseline=baseline,
            fresh=fresh,
            override=signed,
            announce=_announce,
            on_progress=on_progress,
        )
    _finish(document, as_json=as_json, junit=junit, summary=summary)


def _announce(lines: Any) -> None:
    for line in lines:
        say(line)


def _signed(why: str | None, by: str | None) -> "Override | None":
    if why is None:
        return None
    import getpass

    from watchkeeper.foundation.errors import Misconfigured
    from watchkeeper.jobs.checks import Override

    if len(why.strip()) < 10:
        raise Misconfigured("--override: say why in at least ten characters; it is kept with the verdict")
    return Override(by=by or getpass.getuser(), why=why.strip())


def _check_writable(*reports: Path | None) -> None:
    """Refuse a report that could not be written before anything is paid for."""
    import os

    from watchkeeper.foundation.errors import Misconfigured

    for path in filter(None, reports):
        problem = ""
        try:
            if path.is_dir():
                problem = "it is a folder"
            elif not path.parent.is_dir():
                problem = f"there is no folder {path.parent}"
            elif not os.access(path if path.exists() else path.parent, os.W_OK):
                problem = "permission denied"
        except OSError as error:
            problem = error.strerror or str(error)
        if problem:
            raise Misconfigured(f"{path}: cannot be written: {problem}; nothing was asked")


def _finish(document: dict[str, Any], *, as_json: bool, junit: Path | None, summary: Path | None) -> None:
    from watchkeeper.foundation.errors import Transient
    from watchkeeper.regression.formats import junit_xml, markdown

    unwritten = None
    try:
        if junit:
            junit.write_text(junit_xml(document), "utf-8")
        if summary:
            with summary.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(markdown(document))
    except OSError as error:
        unwritten = error  # the verdict was paid for: it is told first
    if as_json:
        print_json(document)
    else:
        from watchkeeper.cli.verdict_table import print_verdict

        print_verdict(document)
    if unwritten is not None:
        path = unwritten.filename or " or ".join(str(path) for path in (junit, summary) if path)
        raise Transient(f"{path}: cannot be written: {unwritten.strerror}; the verdict is stored and printed above")
    raise typer.Exit(document["exit_code"])
