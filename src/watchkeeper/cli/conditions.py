"""Options several commands share: --where and --by."""

from collections.abc import Sequence
from typing import Annotated

import typer

from watchkeeper.foundation.errors import Misconfigured

WhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="LABEL=VALUE", help="Only those; LABEL= is those without it. Repeatable."),
]


def conditions(given: Sequence[str] | None) -> dict[str, str | None]:
    """Label -> the value it must have; None is "the record says none".

    Raises:
        Misconfigured: If one is not LABEL=VALUE, or a label is given twice.
    """
    found: dict[str, str | None] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise Misconfigured(f"--where {text!r}: write LABEL=VALUE, e.g. route=support.answer")
        if name.strip() in found:
            raise Misconfigured(f"--where {name.strip()}: given twice; a call has one value of it")
        found[name.strip()] = value or None
    return found
