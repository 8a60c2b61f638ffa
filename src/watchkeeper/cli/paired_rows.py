"""Rows of `stats compare`: JSON lines into pairs, grouped; the first bad line is named."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchkeeper.foundation.errors import Misconfigured, Rejected

if TYPE_CHECKING:
    from watchkeeper.stats.paired import CasePair

UNGROUPED = "all"
"""The group of rows that name none."""

_Attempt = tuple[float | None, float | None]
_Attempts = dict[str | tuple[str, str | int], _Attempt]


def read_pairs(file: Path) -> "dict[str, list[CasePair]]":
    """The pairs of every group, groups and cases in the order of the file.

    Args:
        file: JSON lines, or `-` for standard input. Blank lines are skipped.

    Raises:
        Misconfigured: If the file cannot be read.
        Rejected: At the first bad row, as `FILE:line: field: problem`.
    """
    groups: dict[str, _Attempts] = {}
    for number, row in rows_of(file):
        try:
            _take(row, groups)
        except ValueError as error:
            raise Rejected(f"{file}:{number}: {error}") from None
    return {name: _pairs(attempts) for name, attempts in groups.items()}


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
                    raise Rejected(f'{file}:{number}: row: must be a JSON object, {{"case": …}}')
                # Every key brings one colon; only where there are more is it worth a second look.
                if line.count(b":") > len(row) and (twice := _key_that_comes_twice(line)) is not None:
                    raise Rejected(f"{file}:{number}: {twice}: comes twice in this row")
                yield number, row
    except OSError as error:
        raise Misconfigured(f"{file}: cannot be read: {error.strerror}") from None


def _not_json(line: bytes) -> str:
    if line.startswith(b"\x1f\x8b"):
        return "this file is compressed; pass it on as text: gzip -dc FILE | watchkeeper stats compare -"
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


def _take(row: dict[str, Any], groups: dict[str, _Attempts]) -> None:
    """Put one row where it belongs. Raises ValueError, "field: problem"."""
    case = _label(row, "case")
    if case is None:
        raise ValueError('case: missing; every row names its case, {"case": "c1", …}')
    if "baseline" not in row and "candidate" not in row:
        raise ValueError("baseline: neither baseline nor candidate is there; write null for a missing score")
    baseline, candidate = _score(row, "baseline"), _score(row, "candidate")
    repeat = row.get("repeat")
    if repeat is not None and (isinstance(repeat, bool) or not isinstance(repeat, int | str)):
        raise ValueError("repeat: must be a whole number or a string")
    attempts = groups.setdefault(_label(row, "group") or UNGROUPED, {})
    # No repeat is repeat 0. A case without repeats is its own key: two million rows fit in memory.
    case = sys.intern(case)
    key = case if repeat is None or repeat == 0 else (case, repeat)
    if key in attempts:
        again = "; number the repeats of a case with repeat" if repeat is None else ""
        raise ValueError(f"case: {case!r} comes twice{'' if repeat is None else f' with repeat {repeat!r}'}{again}")
    attempts[key] = (baseline, candidate)


def _label(row: dict[str, Any], field: str) -> str | None:
    value = row.get(field)
    if value is None or (isinstance(value, str) and value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{field}: must be a string that is not empty, or a whole number")


def _score(row: dict[str, Any], field: str) -> float | None:
    value = row.get(field)
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise ValueError(f"{field}: must be a number in [0, 1], true, false or null")
    if not 0 <= value <= 1:
        raise ValueError(f"{field}: {value} is not in [0, 1]")
    return 1.0 if value == 1 else 0.0 if value == 0 else float(value)


def _pairs(attempts: _Attempts) -> "list[CasePair]":
    from watchkeeper.stats.paired import CasePair

    by_case: dict[str, list[_Attempt]] = {}
    for key, attempt in attempts.items():
        by_case.setdefault(key if isinstance(key, str) else key[0], []).append(attempt)
    return [
        CasePair(case=case, baseline=tuple(a[0] for a in taken), candidate=tuple(a[1] for a in taken))
        for case, taken in by_case.items()
    ]
