"""What every command shares: its common options and how it prints.

Documents go to stdout, everything said on the way to stderr, so that `--json` can be piped.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="watchkeeper.toml; else WATCHKEEPER_CONFIG, else upward from here.", show_default=False
    ),
]


def print_json(document: Any) -> None:
    """Print one JSON document. Decimals become numbers; NaN is refused, for JSON has none."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False, default=_plain)
    sys.stdout.write("\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell the person something that is not the result."""
    print(text, file=sys.stderr, flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
