"""Rows of `stats compare`: JSON lines into pairs, grouped; the first bad line is named."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchkeeper.cli.json_rows import UNGROUPED, label, rows_of, score
from watchkeeper.foundation.errors import Rejected

if TYPE_CHECKING:
    from watchkeeper.stats.paired import CasePair

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


def _take(row: dict[str, Any], groups: dict[str, _Attempts]) -> None:
    """Put one row where it belongs. Raises ValueError, "field: problem"."""
    case = label(row, "case")
    if case is None:
        raise ValueError('case: missing; every row names its case, {"case": "c1", …}')
    if "baseline" not in row and "candidate" not in row:
        raise ValueError("baseline: neither baseline nor candidate is there; write null for a missing score")
    baseline, candidate = score(row, "baseline"), score(row, "candidate")
    repeat = row.get("repeat")
    if repeat is not None and (isinstance(repeat, bool) or not isinstance(repeat, int | str)):
        raise ValueError("repeat: must be a whole number or a string")
    attempts = groups.setdefault(label(row, "group") or UNGROUPED, {})
    # No repeat is repeat 0. A case without repeats is its own key: two million rows fit in memory.
    case = sys.intern(case)
    key = case if repeat is None or repeat == 0 else (case, repeat)
    if key in attempts:
        again = "; number the repeats of a case with repeat" if repeat is None else ""
        raise ValueError(f"case: {case!r} comes twice{'' if repeat is None else f' with repeat {repeat!r}'}{again}")
    attempts[key] = (baseline, candidate)


def _pairs(attempts: _Attempts) -> "list[CasePair]":
    from watchkeeper.stats.paired import CasePair

    by_case: dict[str, list[_Attempt]] = {}
    for key, attempt in attempts.items():
        by_case.setdefault(key if isinstance(key, str) else key[0], []).append(attempt)
    return [
        CasePair(case=case, baseline=tuple(a[0] for a in taken), candidate=tuple(a[1] for a in taken))
        for case, taken in by_case.items()
    ]
