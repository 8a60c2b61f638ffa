"""JSON lines of `stats`: strict, one object a line, the first bad line named."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from watchkeeper.foundation.errors import Misconfigured, Rejected

UNGROUPED = "all"
"""The group of rows that name none."""


def rows_of(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number (from 1) and JSON object of every line that is not blank.

    Raises:
        Misconfigured: If the file cannot be read.
        Rejected: At the first line that is no JSON object, as `FILE:line: row: problem`.
    """
    loads = _json_reader()
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if not line.strip():
                    continue
                try:
                    row = loads(line)
                except (ValueError, RecursionError):
                    raise Rejected(f"{file}:{number}: row: {_not_json(line)}") from None
                if not isinstance(row, dict):
                    raise Rejected(f"{file}:{number}: row: must be a JSON object")
                # Every key brings one colon; only where there are more is it worth a second look.
                if line.count(b":") > len(row) and (twice := _key_that_comes_twice(line)) is not None:
                    raise Rejected(f"{file}:{number}: {twice}: comes twice in this row")
                yield number, row
    except OSError as error:
        raise Misconfigured(f"{file}: cannot be read: {error.strerror}") from None


def _not_json(line: bytes) -> str:
    if line.startswith(b"\x1f\x8b"):
        return "this file is compressed; pass it on as text: gzip -dc FILE | watchkeeper stats COMMAND -"
    return "not JSON (a missing score is null, never NaN)"


def _key_that_comes_twice(line: bytes) -> str | None:
    """The first key of the row (or of an object inside) that is there twice."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)

    # Numbers as text: their values are looked at elsewhere.
    with suppress(RecursionError):
        json.loads(line, object_pairs_hook=look, parse_int=str, parse_float=str)
    return found[0] if found else None


def _json_reader() -> Callable[[bytes], Any]:
    try:
        import orjson
    except ImportError:
        return _strict_json
    reader: Callable[[bytes], Any] = orjson.loads
    return reader


def _strict_json(line: bytes) -> Any:
    """What orjson reads: no NaN, no Infinity, no text that cannot be printed."""

    def refuse(word: str) -> Any:
        raise ValueError(word)

    row = json.loads(line.decode("utf-8"), parse_constant=refuse)
    if b"\\u" in line:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    return row


def label(row: dict[str, Any], field: str) -> str | None:
    """A name; None where there is none. Raises ValueError, "field: problem"."""
    value = row.get(field)
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{field}: must be a string that is not empty, or a whole number")


def score(row: dict[str, Any], field: str) -> float | None:
    """A score in [0, 1], true or false; None where it is missing. Raises ValueError, "field: problem"."""
    value = row.get(field)
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise ValueError(f"{field}: must be a number in [0, 1], true, false or null")
    if not 0 <= value <= 1:
        raise ValueError(f"{field}: {value} is not in [0, 1]")
    return 1.0 if value == 1 else 0.0 if value == 0 else float(value)
