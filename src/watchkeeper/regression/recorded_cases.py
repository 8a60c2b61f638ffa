"""Turns recorded calls into cases: what was asked, the reference, the slice, where it came from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.foundation.ids import short_hash
from watchkeeper.foundation.json_lines import json_lines
from watchkeeper.providers.recorded import asked_of


def cases_of(files: Sequence[Path]) -> list[dict[str, Any]]:
    """One case per `case_id` (or per prompt, where none is given), in the order of the files.

    Raises:
        Misconfigured: With file, line and field of the first mistake, or when one case_id stands
            for two different prompts.
    """
    cases: dict[str, dict[str, Any]] = {}
    for path in files:
        for number, row in _rows(path):
            asked = asked_of(row, f"{path}:{number}")
            case_id = str(row.get("case_id") or f"case-{short_hash(asked)}")
            known = cases.get(case_id)
            if known is not None and known["input"] != asked:
                raise Misconfigured(f"{path}:{number}: case_id: {case_id!r} was recorded with another prompt before")
            case = known or {"id": case_id, "input": asked}
            for name in ("reference", "slice"):
                if row.get(name) is not None:
                    case[name] = row[name]
            case.setdefault("origin", {"recorded_in": path.name})
            cases[case_id] = case
    return list(cases.values())


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, row in json_lines(path):
        if not isinstance(row, dict):
            raise Misconfigured(f"{path}:{number}: a recorded call is a JSON object")
        rows.append((number, row))
    return rows
