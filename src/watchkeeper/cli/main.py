"""The root of the command line: registers the commands and turns errors into one line and a code."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

import watchkeeper
from watchkeeper.cli import (
    alerts,
    budgets,
    checks,
    example,
    explain,
    incidents,
    latency,
    models,
    prices,
    quality,
    records,
    resolutions,
    rubrics,
    runbooks,
    runs,
    schema,
    score,
    server,
    spend,
    stats,
    suites,
    usage,
)
from watchkeeper.cli import replay as replay_command
from watchkeeper.cli.console import say
from watchkeeper.foundation.errors import MissingExtra, WatchkeeperError

app = typer.Typer(
    name="watchkeeper",
    help="Keeps an LLM application good after launch. Exit codes: 0 passed, 1 found what it looks for, "
    "2 usage or configuration, 3 inconclusive, 4 could not be carried out, 5 nothing to check.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


_SMALL = {"init"}
"""Commands that need nothing but the small package."""


def _version(wanted: bool) -> None:
    if wanted:
        print(f"watchkeeper {watchkeeper.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("init")(example.init)
app.command("up")(server.up)
app.command("demo")(example.demo)
app.command("doctor")(server.doctor)
app.command("usage")(usage.usage)
app.command("score")(score.score)
app.command("quality")(quality.quality)
app.command("check")(checks.check)
app.command("upgrade")(checks.upgrade)
app.command("serve")(server.serve)
app.command("replay")(replay_command.replay)
app.add_typer(suites.app, name="suites")
app.add_typer(runs.app, name="runs")
app.add_typer(models.app, name="models")
app.add_typer(records.app, name="records")
app.add_typer(prices.app, name="prices")
app.add_typer(spend.app, name="spend")
app.add_typer(explain.app, name="explain")
app.add_typer(resolutions.app, name="resolutions")
app.add_typer(budgets.app, name="budgets")
app.add_typer(latency.app, name="latency")
app.add_typer(incidents.app, name="incidents")
app.add_typer(alerts.app, name="alerts")
app.add_typer(runbooks.app, name="runbooks")
app.add_typer(rubrics.app, name="rubrics")
app.add_typer(stats.app, name="stats")
app.add_typer(schema.app, name="store")


def run(argv: Sequence[str], *, ops_installed: bool) -> None:
    """Run one command line and exit: the code is documented in the help of the root command."""
    # Prefect would otherwise start a server of its own, and call home, behind our back.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    debug = bool(os.environ.get("WATCHKEEPER_DEBUG"))
    try:
        if not ops_installed and argv and argv[0] not in _SMALL and not {"--help", "--version"} & set(argv):
            raise MissingExtra(
                f"`{argv[0]}` needs the operational packages; install them: pip install 'watchkeeper[ops]'"
            )
        code = app(list(argv), prog_name="watchkeeper", standalone_mode=False)
    except TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        if not message.startswith("Usage:"):  # a group without a command answers with its help
            message = f"watchkeeper: {message}"
        say(message)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        say("watchkeeper: stopped")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except WatchkeeperError as error:
        if debug:
            raise
        say(f"watchkeeper: {' '.join(str(error).split())}")
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        # A defect of ours: still one line, and how to see the rest. Values stay out of it.
        command = argv[0] if argv else ""
        say(f"watchkeeper: unexpected {type(error).__name__} in `{command}`; WATCHKEEPER_DEBUG=1 shows where")
        sys.exit(4)
    sys.exit(code if isinstance(code, int) else 0)
