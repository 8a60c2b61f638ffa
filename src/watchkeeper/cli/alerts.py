"""`alerts`: send what waits in the outbox, and a drill through the same path."""

from typing import TYPE_CHECKING, Annotated

import typer

from watchkeeper.cli.console import ConfigOption, JsonOption, print_json, say

if TYPE_CHECKING:
    from watchkeeper.app import App
    from watchkeeper.incidents.outbox import DeliveryReport

app = typer.Typer(no_args_is_help=True, help="Messages to the channel.")

_EVERY_S = 10.0


@app.command("deliver")
def deliver(
    once: Annotated[bool, typer.Option("--once", help="Send what waits now and stop.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send what waits; without --once every ten seconds until SIGTERM or Ctrl-C.

    Without a token everything keeps waiting and is printed. Exit 2 when Slack refuses until a person
    changes something, 4 when something could not be sent and will be tried again.
    """
    from watchkeeper.app import open_app

    with open_app(config) as opened:
        if not once:
            _keep_delivering(opened, as_json)
            return
        report = _delivered(opened, insist=True)
        _tell(report, opened, as_json, printed=set())
    raise typer.Exit(_code(report))


@app.command("test")
def drill(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """A drill: a message of no consequence takes the path of a real one; says what came of it."""
    from watchkeeper.app import open_app
    from watchkeeper.foundation.clock import format_time
    from watchkeeper.foundation.ids import new_id
    from watchkeeper.incidents import service

    with open_app(config) as opened:
        now = opened.clock.now()
        service.notice(
            opened.store,
            key=f"drill:{new_id()}",
            summary="Drill: watchkeeper can reach this channel. Nothing is wrong.",
            lines=[f"sent {format_time(now)[:19]}Z by watchkeeper alerts test"],
            links={"Overview": "/"},
            now=now,
        )
        report = _delivered(opened, insist=True)
        _tell(report, opened, as_json, printed=set())
        if not as_json and opened.settings.slack.token and not report.waiting and not report.failed:
            print(f"the drill reached {opened.settings.slack.channel}")
    raise typer.Exit(_code(report))


def _delivered(opened: "App", *, insist: bool) -> "DeliveryReport":
    from watchkeeper.incidents import service
    from watchkeeper.incidents.slack import SlackChannel

    slack = opened.settings.slack
    return service.deliver(
        opened.store,
        SlackChannel(token=slack.token, channel=slack.channel, api_url=slack.api_url) if slack.token else None,
        base_url=opened.settings.web.base_url,
        runbooks_url=opened.settings.runbooks.base_url,
        clock=opened.clock,
        insist=insist,
    )


def _keep_delivering(opened: "App", as_json: bool) -> None:
    import signal
    import threading

    from watchkeeper.foundation.errors import Transient

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    printed: set[str] = set()
    say(f"delivering every {_EVERY_S:.0f} s; Ctrl-C stops")
    while not stop.is_set():
        try:
            report = _delivered(opened, insist=False)
        except Transient as error:
            say(f"watchkeeper: {error}")
        else:
            if report.sent or report.problems or any(m.delivery_id not in printed for m in report.messages):
                _tell(report, opened, as_json, printed=printed)
        stop.wait(_EVERY_S)


def _tell(report: "DeliveryReport", opened: "App", as_json: bool, *, printed: set[str]) -> None:
    """Print a report; a waiting message that was `printed` before is not printed again."""
    new = [message for message in report.messages if message.delivery_id not in printed]
    printed.update(message.delivery_id for message in new)
    if as_json:
        print_json(
            {
                "sent": report.sent,
                "waiting": report.waiting,
                "failed": report.failed,
                "problems": list(report.problems),
                "messages": [message.text for message in new],
            }
        )
    else:
        for message in new:
            print(message.text, end="\n\n")
        print(f"{report.sent} sent, {report.waiting} waiting, {report.failed} given up", flush=True)
    for problem in report.problems:
        say(f"watchkeeper: {problem}")
    slack = opened.settings.slack
    if not slack.token:
        say(
            f"nothing was sent: {slack.token_env} is not set. Messages wait in the outbox; "
            f"export {slack.token_env}=xoxb-… and run: watchkeeper alerts deliver --once"
        )


def _code(report: "DeliveryReport") -> int:
    if report.refused:
        return 2
    unsent = report.failed or (report.problems and report.waiting)
    return 4 if unsent else 0
