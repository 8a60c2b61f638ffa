"""Whether a command line would be taken, without running it."""

import contextlib
import io
from difflib import get_close_matches
from typing import Any

import typer
from typer.exceptions import TyperException


def parses(argv: list[str]) -> str | None:
    """What is wrong with the words after `watchkeeper`, or None when they are a command."""
    from watchkeeper.cli.main import app

    return problem_of(argv, app)


def problem_of(argv: list[str], app: typer.Typer) -> str | None:
    """As `parses`, against any command line."""
    command: Any = typer.main.get_command(app)
    words, name = list(argv), "watchkeeper"
    while (known := getattr(command, "commands", None)) is not None:
        if not words:
            return f"`{name}` is a group and names no command; one of {', '.join(known)}"
        if words[0].startswith("-"):
            break  # an option of the group itself
        if words[0] not in known:
            near = get_close_matches(words[0], known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; one of {', '.join(known)}"
            return f"`{name}` has no command {words[0]!r}{hint}"
        command, name, words = known[words[0]], f"{name} {words[0]}", words[1:]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # --help would print itself
            command.make_context(name, words)
    except TyperException as error:
        return error.format_message()
    except typer.Exit:
        return None  # --help and --version are taken and end there
    return None
