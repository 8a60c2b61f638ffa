"""Requests as columns, from numbers: only what a test is about is said."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.facts.columns import schema
from watchkeeper.scoring.candidates import CANDIDATES, Candidates, candidates_of, packed_flags, packed_labels
from watchkeeper.scoring.hours import Knowledge
from watchkeeper.scoring.signals import Said, multiples

HOUR = 490_000
START_S = HOUR * 3600.0
LATER = START_S + 1e6
ROUTE = "support.answer"

_USUAL: dict[str, Any] = {
    "route": ROUTE,
    "source": "production",
    "segment": None,
    "prompt_id": None,
    "prompt_version": None,
    "release": None,
    "model": "m-1",
    "finish_reason": "stop",
    "error_type": None,
    "latency_ms": 500.0,
    "tokens_output": 100,
    "retrieval_missed": None,
    "responded": True,
}


def columns(size: int, *, at: NDArray[np.float64] | None = None, first: int = 0, **given: Any) -> Candidates:
    """`size` requests of one hour; a column is one value for all, or one for each."""
    started = START_S + np.linspace(0, 3599, size) if at is None else at
    values: dict[str, Any] = {
        "started_at": pa.array((started * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC")),
        "trace_id": [f"{n:032x}" for n in range(first, first + size)],
        "span_id": [f"{n:016x}" for n in range(first, first + size)],
    }
    rows = {name: _each(given.get(name, usual), size) for name, usual in _USUAL.items()}
    values["labels"] = [
        packed_labels(dict(zip(LABELS, each, strict=True))) for each in zip(*(rows[n] for n in LABELS), strict=True)
    ]
    values["flags"] = [
        packed_flags({name for name, holds in (("responded", r), ("failed", e), ("retrieval_missed", m)) if holds})
        for r, e, m in zip(rows["responded"], rows["error_type"], rows["retrieval_missed"], strict=True)
    ]
    return candidates_of(
        pa.table(values | {n: rows[n] for n in ("latency_ms", "tokens_output")})
        .select([column.name for column in CANDIDATES.columns])
        .cast(schema(CANDIDATES.columns))
    )


LABELS = ("route", "source", "segment", "prompt_id", "prompt_version", "release", "model", "finish_reason")


def _each(value: Any, size: int) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | np.ndarray) else [value] * size


def knowledge(**given: Any) -> Knowledge:
    """What is known: nothing, unless it is said."""
    known: dict[str, Any] = {
        "salt": b"salt",
        "multiples": multiples({}),
        "usual": {},
        "first_seen": {},
        "said": Said(),
        "settled_before": LATER,
    }
    return Knowledge(**(known | given))
