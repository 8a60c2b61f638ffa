"""`up`, `serve`, `doctor`: run an installation, and say how it is."""

from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

if TYPE_CHECKING:
    import asyncio

    from watchkeeper.cli.embedded import Running


def serve(
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Default: web.port; 0 picks a free one.", show_default=False),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """The pages and the API alone, without schedules. Stops on SIGTERM or Ctrl-C."""
    from watchkeeper.app import open_app
    from watchkeeper.web import otlp
    from watchkeeper.web.listen import listen
    from watchkeeper.web.server import make_server

    with open_app(config) as app:
        web, server = app.settings.web, make_server(app)
        try:
            listen(server, host=web.host, port=web.port if port is None else port)
        finally:
            otlp.close(server)


def up(config: ConfigOption = None) -> None:
    """Everything on one machine: store, Prefect server, schedules, web. Ctrl-C stops all of it."""
    from watchkeeper.app import open_app
    from watchkeeper.cli.embedded import run_embedded
    from watchkeeper.settings import find_config

    path = find_config(config)
    with open_app(path) as app:
        web = app.settings.web
    say("starting …")
    run_embedded(path, web_url=f"http://{web.host}:{web.port}", on_ready=_announce)
    say("stopped")


async def _announce(running: "Running", _stop: "asyncio.Event") -> None:
    say_running(running)


def say_running(running: "Running") -> None:
    """Print what is up, where, and when each flow runs."""
    print(f"pages    {running.web_url}")
    print(f"prefect  {running.prefect_url.removesuffix('/api')}")
    for deployment in running.deployments:
        print(f"flow     {deployment.name:<16} {deployment.when()}")
    print(f"logs     {running.logs}")
    print("Ctrl-C stops all of it.", flush=True)


def doctor(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """What is configured, reachable, stale: one line each. Exit 1 when something needs a person."""
    from watchkeeper.app import open_app
    from watchkeeper.cli.diagnosis import examine

    with open_app(config) as app:
        lines = examine(app)
    if as_json:
        print_json([{"what": line.what, "state": line.state, "detail": line.detail} for line in lines])
    else:
        for line in lines:
            print(f"{line.state:<8} {line.what:<28} {line.detail}")
    if any(line.state == "problem" for line in lines):
        raise typer.Exit(1)
