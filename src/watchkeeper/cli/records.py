"""`records`: take requests in, give them out, show one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, TypedDict

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say
from watchkeeper.cli.instants import instant_of
from watchkeeper.cli.sources import pull_records, push_scores
from watchkeeper.foundation.errors import Misconfigured, NothingToCheck

if TYPE_CHECKING:
    from watchkeeper.observability.request import Request

app = typer.Typer(no_args_is_help=True, help="What the application did, request by request.")
app.command("pull")(pull_records)
app.command("push")(push_scores)

_SPAN_HELP = "ISO time with a zone, or an age: 30m, 24h, 7d."


class Rejection(TypedDict):
    """One refused line, as `--json` lists it."""

    file: str
    line: int
    field: str | None
    message: str


@app.command("import")
def import_records(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="JSON lines, .jsonl or .jsonl.gz, or .parquet of an export.")
    ],
    ignore_manifest: Annotated[
        bool,
        typer.Option("--ignore-manifest", help="Take a file as it is, whatever FILE.manifest.json beside it says."),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Store the requests of files; the same file twice changes nothing. Exit 1: some lines were refused.

    Where FILE.manifest.json lies beside a file, its bytes and its number of requests are held against it before
    anything is stored; if they do not agree, nothing is.
    """
    from watchkeeper.app import open_app
    from watchkeeper.observability import service
    from watchkeeper.settings import privacy_policy

    for path in files:
        _readable(path, manifest=not ignore_manifest)
    rejected: list[Rejection] = []
    accepted, written = 0, set[Path]()
    with open_app(config) as opened:
        privacy = privacy_policy(opened.settings)
        for path in dict.fromkeys(files):
            with _Rejects(path, rejected, written) as rejects:
                accepted += service.import_requests(opened.store, rejects.good(), policy=privacy)
    if not accepted and not rejected:
        raise NothingToCheck(f"no requests in {', '.join(map(str, files))}: the file is empty")
    if as_json:
        print_json({"accepted": accepted, "rejected": rejected})
    else:
        print(f"{accepted} requests stored" + (f", {len(rejected)} lines rejected" if rejected else ""))
    if rejected:
        raise typer.Exit(1)


@app.command("export")
def export_records(
    output: Annotated[Path, typer.Option("--output", help="The file to write; an older one is replaced.")],
    form: Annotated[
        Literal["jsonl", "parquet"], typer.Option("--format", help="jsonl (packed if FILE ends in .gz) or parquet.")
    ] = "jsonl",
    since: Annotated[
        str | None, typer.Option("--since", help=f"From then on. {_SPAN_HELP}", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help=f"Before then. {_SPAN_HELP}", show_default=False)] = None,
    route: Annotated[str | None, typer.Option("--route", help="Only this route.", show_default=False)] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write stored requests, oldest first, in the form that `records import` reads, and FILE.manifest.json beside it.

    The manifest says the format and its columns, how many requests, how many bytes and their SHA-256, the filters,
    the oldest and the newest request, when it was exported and from which kind of store.
    """
    from watchkeeper.app import open_app
    from watchkeeper.observability import service
    from watchkeeper.observability.manifest import Origin, manifest_of
    from watchkeeper.observability.record_files import write_requests

    if not output.parent.is_dir() or (output.exists() and not output.is_file()):
        raise Misconfigured(f"--output {output}: cannot be a file there; name a file in a folder that exists")
    with open_app(config) as opened:
        now = opened.clock.now()
        start, end = instant_of("--since", since, now), instant_of("--until", until, now)
        if start and end and start >= end:
            raise Misconfigured("--since must be before --until")
        origin = Origin(since=start, until=end, route=route, store=opened.store.dialect, exported_at=now)
        found = service.export_requests(opened.store, start, end, route)
        try:
            written = write_requests(output, found, form=form, origin=origin)
        except OSError as error:
            raise Misconfigured(f"--output {output}: cannot be written: {error.strerror or error}") from None
        if not written:
            raise NothingToCheck(_nothing(service.stock(opened.store).total))
    if as_json:
        print_json({"written": written, "output": str(output), "format": form, "manifest": str(manifest_of(output))})
    else:
        print(f"{written} requests written to {output}")


@app.command("show")
def show_record(
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="32 hexadecimal digits.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """One request: what was asked, every call, what was found, what the user thought, the answer."""
    from watchkeeper.app import open_app
    from watchkeeper.observability import service
    from watchkeeper.observability.plain import render_request
    from watchkeeper.observability.wire import as_json as document

    with open_app(config) as opened:
        found = service.request(opened.store, trace_id)
    if as_json:
        print_json(document(found))
    else:
        print(render_request(found))


@app.command("why")
def why_record(
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="32 hexadecimal digits.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """How far a request has come: received, put together, priced; eligible, sampled, judged.

    Exit 1 when one of the first three is not done; most requests are not sampled, and that is right.
    """
    from watchkeeper.app import open_app
    from watchkeeper.jobs.scoring import why_scored
    from watchkeeper.observability import service
    from watchkeeper.observability.plain import visible

    with open_app(config) as opened:
        steps = [*service.why(opened.store, trace_id), *why_scored(opened, trace_id)]
    if as_json:
        print_json([{"step": each.step, "done": each.done, "detail": each.detail} for each in steps])
    else:
        for each in steps:
            print(f"{each.step:<10} {'yes' if each.done else 'no':<4} {visible(each.detail)}")
    if not all(each.done for each in steps if each.needed):
        raise typer.Exit(1)


@app.command("prune")
def prune_records(
    before: Annotated[str, typer.Option("--before", help=f"Requests that started before. {_SPAN_HELP}")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Delete old requests and the texts nothing else needs. The file keeps its size; the room is used again."""
    from watchkeeper.app import open_app
    from watchkeeper.cost import service as cost
    from watchkeeper.observability import service
    from watchkeeper.sources import service as sources

    with open_app(config) as opened:
        until = instant_of("--before", before, opened.clock.now())
        assert until is not None
        if dry_run:
            requests, texts = service.count_before(opened.store, until), None
        else:
            requests, texts = service.prune(opened.store, until)
            sources.tidy(opened.store)
            cost.tidy(opened.store)
    if as_json:
        print_json({"requests": requests, "texts": texts, "dry_run": dry_run})
    elif dry_run:
        print(f"{requests} requests would be deleted")
    else:
        print(f"{requests} requests and {texts} texts deleted")


class _Rejects:
    """The lines of one file: the good ones to be stored, the others told and written beside it.

    Args:
        told: Gets every rejection.
        written: The files of rejected lines of this command; a second input of the same name adds to them.
    """

    def __init__(self, path: Path, told: list[Rejection], written: set[Path]) -> None:
        self.path, self.told, self.written = path, told, written
        self.target = path.with_name(f"{_bare(path.name)}.rejected.jsonl")
        self.opened = ExitStack()
        self.file: BinaryIO | None = None
        self.failed = False

    def __enter__(self) -> "_Rejects":
        return self

    def __exit__(self, *problem: Any) -> None:
        try:
            self.opened.__exit__(*problem)
        except OSError as error:
            self._cannot_write(error)
        if self.file is not None and not self.failed and problem[0] is None:
            self.written.add(self.target)
            say(f"the rejected lines are in {self.target}; correct and import them")

    def good(self) -> Iterator["Request"]:
        """The requests; a bad line is told when it is met."""
        from watchkeeper.observability.record_files import read_requests
        from watchkeeper.observability.wire import BadLine

        try:
            for number, found in read_requests(self.path):
                if isinstance(found, BadLine):
                    self._tell(number, found.field, found.problem)
                    self._keep(found.raw)
                else:
                    yield found
        except OSError as error:
            raise Misconfigured(f"{self.path}: cannot be read: {error.strerror}") from None

    def _tell(self, line: int, field: str, problem: str) -> None:
        self.told.append({"file": str(self.path), "line": line, "field": field or None, "message": problem})
        say(f"{self.path}:{line}: {field + ': ' if field else ''}{problem}")

    def _keep(self, raw: bytes) -> None:
        from watchkeeper.observability.record_files import replaced

        if not raw or self.failed:
            return
        try:
            if self.file is None:
                earlier = self.target.read_bytes() if self.target in self.written else b""
                self.file = self.opened.enter_context(replaced(self.target))
                self.file.write(earlier)
            self.file.write(raw + b"\n")
        except OSError as error:
            self._cannot_write(error)

    def _cannot_write(self, error: OSError) -> None:
        self.failed = True
        say(f"watchkeeper: {self.target}: the rejected lines cannot be written: {error.strerror}")


def _bare(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".parquet")


def _readable(path: Path, *, manifest: bool) -> None:
    from watchkeeper.observability.record_files import check_manifest

    if not path.exists():
        raise Misconfigured(f"{path}: no such file")
    if path.is_dir():
        raise Misconfigured(f"{path}: is a folder; name its files")
    if manifest:
        try:
            check_manifest(path)
        except OSError as error:
            raise Misconfigured(f"{path}: cannot be read: {error.strerror}") from None


def _nothing(total: int) -> str:
    if total:
        return f"no request matches; the store holds {total}, look at --since, --until and --route"
    return "the store holds no requests yet; bring some in: watchkeeper records import FILE"
