"""`incidents`: what is open, and saying that one has it or that it is over."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

if TYPE_CHECKING:
    from watchkeeper.app import App
    from watchkeeper.incidents.incident import Incident

app = typer.Typer(no_args_is_help=True, help="What is wrong now, and what was.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of an incident, or a unique beginning of it.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who; default: the user of this machine.", show_default=False)
]


@app.command("list")
def list_incidents(
    status: Annotated[
        str | None,
        typer.Option("--status", help="pending, firing, acknowledged, silenced or resolved.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Newest first, at most this many.")] = 100,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Every incident, the newest first."""
    from watchkeeper.app import open_app
    from watchkeeper.foundation.clock import format_time
    from watchkeeper.incidents import service

    with open_app(config) as opened:
        found = service.list_incidents(opened.store, status=status, limit=limit)
        documents = [_document(opened, incident) for incident in found]
    if as_json:
        print_json(documents)
        return
    if not found:
        print(f"no {status} incident" if status else "no incident: nothing has been found since this store was made")
    for incident in found:
        times = f", {incident.occurrences} times" if incident.occurrences > 1 else ""
        print(f"{incident.id}  {incident.status:<12} {incident.severity:<8} {incident.kind}")
        print(f"    since {format_time(incident.opened_at)[:16]}Z{times}: {_visible(incident.summary)}")


@app.command("show")
def show_incident(incident_id: IdArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """One incident as the channel shows it, and what happened to it."""
    from watchkeeper.app import open_app
    from watchkeeper.foundation.clock import format_time
    from watchkeeper.incidents import service

    with open_app(config) as opened:
        incident = service.show(opened.store, incident_id)
        events = service.history(opened.store, incident.id)
        settings = opened.settings
        if as_json:
            history = [{"at": format_time(e.at), "what": e.what, "who": e.who, "detail": e.detail} for e in events]
            print_json({**_document(opened, incident), "links": dict(incident.links), "history": history})
            return
        print(
            service.render(
                opened.store,
                incident.id,
                base_url=settings.web.base_url,
                runbooks_url=settings.runbooks.base_url,
            )
        )
    for event in events:
        detail = f": {_visible(event.detail)}" if event.detail else ""
        print(f"{format_time(event.at)[:19]}Z  {event.what} by {event.who}{detail}")


@app.command("ack")
def acknowledge(
    incident_id: IdArgument, by: ByOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Tell the team that somebody has it; the channel's message says who."""
    from watchkeeper.app import open_app
    from watchkeeper.incidents import service

    with open_app(config) as opened:
        changed = service.acknowledge(opened.store, incident_id, who=_who(by), now=opened.clock.now())
        document = _document(opened, changed)
    _tell(document, f"acknowledged by {changed.acknowledged_by}", as_json)


@app.command("resolve")
def resolve(
    incident_id: IdArgument, by: ByOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """It is over; should a check find it again, a new incident opens."""
    from watchkeeper.app import open_app
    from watchkeeper.incidents import service

    with open_app(config) as opened:
        changed = service.resolve(opened.store, incident_id, who=_who(by), now=opened.clock.now())
        document = _document(opened, changed)
    _tell(document, f"resolved by {changed.resolved_by}", as_json)


def _document(opened: "App", incident: "Incident") -> dict[str, Any]:
    from watchkeeper.incidents.document import as_document

    settings = opened.settings
    return as_document(incident, base_url=settings.web.base_url, runbooks_url=settings.runbooks.base_url)


def _tell(document: dict[str, Any], what: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    print(f"{document['id']}  {document['kind']}: {what}")
    say("the channel's message changes with the next delivery: watchkeeper alerts deliver --once")


def _who(by: str | None) -> str:
    import getpass

    return by if by is not None else getpass.getuser()


def _visible(text: str) -> str:
    """On one line, without characters that would move the terminal's cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
