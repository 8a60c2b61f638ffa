"""Requests as columns, from numbers: only what a test is about is said."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.facts.columns import schema
from watchkeeper.scoring.candidates import CANDIDATES, Candidates, candidates_of
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
    for name, usual in _USUAL.items():
        value = given.get(name, usual)
        values[name] = list(value) if isinstance(value, list | tuple | np.ndarray) else [value] * size
    return candidates_of(pa.table(values, schema=schema(CANDIDATES.columns)))


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
