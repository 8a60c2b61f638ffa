"""A file of scores to push back, one JSON object a line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from watchkeeper.foundation.json_lines import read_text
from watchkeeper.observability import fields
from watchkeeper.observability.fields import RejectedRecord
from watchkeeper.sources.interface import Scored

_BY: dict[str, Literal["llm", "code", "human"]] = {"llm": "llm", "code": "code", "human": "human"}
_KNOWN = frozenset({"trace_id", "span_id", "name", "value", "label", "explanation", "by"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BadScore:
    """A line that is no score. `field` is "" when the whole line is meant."""

    field: str
    problem: str


def read_scores(path: Path) -> Iterator[tuple[int, Scored | BadScore]]:
    """Every line that is not empty, with its number; a name that ends in .gz is unpacked.

    Raises:
        Misconfigured: If the file cannot be read.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield number, _read(line)


def score_of(raw: Any) -> Scored:
    """The score of a JSON object.

    Raises:
        RejectedRecord: If it is none; names the field.
    """
    given = fields.an_object(fields.storable(raw), "")
    if unknown := sorted(given.keys() - _KNOWN):
        raise RejectedRecord(unknown[0][:40], f"is not known; one of {', '.join(sorted(_KNOWN))}")
    value = fields.required(fields.number(given, "value"), "value")
    if not 0 <= value <= 1:
        raise RejectedRecord("value", "must be from 0 to 1")
    by = fields.label(given, "by") or "llm"
    if by not in _BY:
        raise RejectedRecord("by", "must be llm, code or human")
    return Scored(
        trace_id=fields.required(fields.hex_id(given, "trace_id", 32), "trace_id"),
        span_id=fields.hex_id(given, "span_id", 16),
        name=fields.required(fields.label(given, "name"), "name"),
        value=value,
        label=fields.label(given, "label"),
        explanation=fields.text(given, "explanation"),
        by=_BY[by],
    )


def _read(line: str) -> Scored | BadScore:
    try:
        return score_of(json.loads(line))
    except RejectedRecord as error:
        return BadScore(field=error.field, problem=error.problem)
    except (ValueError, RecursionError):
        return BadScore(field="", problem="not JSON")
