"""Why a request is worth looking at: signals make strata, and a stratum has a multiple of the base rate.

What "usual", "new" and "rare" mean is learned from the seven days before a day and kept for that day, so that a rerun
says the same.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from watchkeeper.scoring.candidates import LIVE_SOURCE, Candidates, Labels, prompt_name

STRATA: tuple[str, ...] = (
    "negative_feedback",
    "edited",
    "contract_broken",
    "failed",
    "retrieval_miss",
    "unusual",
    "new_version",
    "rare_route",
    "ordinary",
)
"""Highest signal first; a request belongs to the first that holds. `failed` is an error or an answer cut off."""

ORDINARY = STRATA[-1]

MULTIPLES: Mapping[str, float] = {
    "negative_feedback": 30.0,
    "edited": 30.0,
    "contract_broken": 20.0,
    "failed": 20.0,
    "retrieval_miss": 15.0,
    "unusual": 10.0,
    "new_version": 10.0,
    "rare_route": 10.0,
    "ordinary": 1.0,
}
"""Stratum -> how many times the base rate it is sampled with, where the configuration says nothing else."""

LEARNED = timedelta(days=7)
"""How far back usual and rare are learned."""
NEW_FOR = timedelta(hours=24)
"""How long a prompt version or a model is new, and how long a route must be known before anything in it can be."""

_FEWEST = 200
"""Values below which a route has no usual range."""
_OUTSIDE = 0.01
_RARE = 0.01
"""Share of all requests below which a route is rare."""

DIMENSIONS = ("prompt", "model", "release")
"""What a route's first appearances are remembered of; a new release is a change on record, not a signal."""

Appearance = tuple[str, str, str]
"""(route, dimension, value); the route's own is (route, "route", "")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What a route usually is; a range is (1 %, 99 %), None where too little is known.

    Attributes:
        latency_ms: Of its requests.
        output: Output tokens, for the length of an answer.
        rare: It has under one in a hundred of all requests.
    """

    latency_ms: tuple[float, float] | None = None
    output: tuple[float, float] | None = None
    rare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Trace ids with something that a user said or did: a thumb down, or an edit of the answer."""

    negative: Collection[str] = frozenset()
    edited: Collection[str] = frozenset()


def usual_of(table: pa.Table) -> dict[str, Usual]:
    """Route -> what it usually is, from facts of requests (route, latency_ms, tokens_output)."""
    if not table.num_rows:
        return {}
    route = table.column("route").combine_chunks().dictionary_encode()
    codes = route.indices.to_numpy(zero_copy_only=False)
    names: Sequence[str] = route.dictionary.to_pylist()
    measured = {
        name: np.asarray(table.column(column).cast(pa.float64()).to_numpy(), np.float64)
        for name, column in (("latency_ms", "latency_ms"), ("output", "tokens_output"))
    }
    found = {}
    for code, name in enumerate(names):
        mine = codes == code
        ranges = {measure: _range(values[mine]) for measure, values in measured.items()}
        found[name] = Usual(**ranges, rare=bool(mine.sum() < _RARE * table.num_rows))
    return found


def _range(values: NDArray[np.float64]) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if known.size < _FEWEST:
        return None
    low, high = np.quantile(known, [_OUTSIDE, 1 - _OUTSIDE])
    return float(low), float(high)


def appearances_of_facts(requests: pa.Table, calls: pa.Table) -> dict[Appearance, float]:
    """When each value first stands in facts of requests and calls, seconds since 1970."""
    found: dict[Appearance, float] = {}

    def take(table: pa.Table, dimension: str, *columns: str) -> None:
        grouped = table.group_by(["route", *columns]).aggregate([("started_at", "min")])
        values = zip(*(grouped.column(name).to_pylist() for name in ("started_at_min", "route", *columns)), strict=True)
        for at, route, *parts in values:
            value = "" if dimension == "route" else prompt_name(*parts) if dimension == "prompt" else parts[0]
            if value is not None:
                found[route, dimension, value] = at.timestamp()

    take(requests, "route")
    take(requests, "prompt", "prompt_id", "prompt_version")
    take(requests, "release", "release")
    take(calls, "model", "model")
    return found


def live_facts(table: pa.Table) -> pa.Table:
    """The facts of real users' requests; one that does not say where it comes from is taken for one."""
    source = table.column("source")
    return table.filter(pc.or_kleene(pc.is_null(source), pc.equal(source, LIVE_SOURCE)))


def strata_of(
    requests: Candidates, *, usual: Mapping[str, Usual], first_seen: Mapping[Appearance, float], said: Said
) -> NDArray[np.int8]:
    """The stratum of every request: its place in STRATA, shape (requests,).

    Args:
        usual: Route -> what is usual there; a route that is not in it has nothing unusual and is not rare.
        first_seen: When each value appeared in a route, seconds since 1970.
    """
    holds: dict[str, NDArray[np.bool_]] = {
        "contract_broken": requests.contract_broken,
        "failed": requests.failed | requests.truncated,
        "retrieval_miss": requests.retrieval_missed,
        "unusual": _unusual(requests, usual),
        "new_version": _new(requests, first_seen),
        "rare_route": requests.route.of(*(route for route, each in usual.items() if each.rare)),
        "negative_feedback": _named(requests, said.negative),
        "edited": _named(requests, said.edited),
    }
    found = np.full(requests.size, len(STRATA) - 1, np.int8)
    for place in range(len(STRATA) - 2, -1, -1):
        found[holds[STRATA[place]]] = place
    return found


def multiples(own: Mapping[str, float]) -> NDArray[np.float64]:
    """The multiples in the order of STRATA, those of the configuration first."""
    return np.array([own.get(name, MULTIPLES[name]) for name in STRATA])


def appearances(requests: Candidates) -> dict[Appearance, float]:
    """When each route, prompt version, model and release first stands in these requests, seconds since 1970."""
    live = requests.live
    found: dict[Appearance, float] = {}
    for dimension in ("route", *DIMENSIONS):
        labels: Labels = getattr(requests, dimension)
        mine = live & labels.known
        width = max(1, len(labels.names))
        first = np.full(len(requests.route.names) * width, np.inf)
        np.minimum.at(
            first, requests.route.codes[mine].astype(np.int64) * width + labels.codes[mine], requests.at[mine]
        )
        for pair in np.flatnonzero(np.isfinite(first)).tolist():
            route, code = divmod(pair, width)
            value = "" if dimension == "route" else labels.names[code]
            found[requests.route.names[route], dimension, value] = float(first[pair])
    return found


def _unusual(requests: Candidates, usual: Mapping[str, Usual]) -> NDArray[np.bool_]:
    found = np.zeros(requests.size, np.bool_)
    measured: dict[str, Any] = {"latency_ms": requests.latency_ms, "output": requests.output}
    for measure, values in measured.items():
        ends = [getattr(usual.get(name), measure, None) or (-np.inf, np.inf) for name in requests.route.names]
        low, high = (np.array([each[end] for each in ends])[requests.route.codes] for end in (0, 1))
        found |= (values < low) | (values > high)
    return found


def _new(requests: Candidates, first_seen: Mapping[Appearance, float]) -> NDArray[np.bool_]:
    """Whether the prompt version or the model is in its first day, in a route that is older than a day."""
    found = np.zeros(requests.size, np.bool_)
    length = NEW_FOR.total_seconds()
    for code, route in enumerate(requests.route.names):
        began = first_seen.get((route, "route", ""))
        if began is None:
            continue
        for dimension in ("prompt", "model"):
            labels: Labels = getattr(requests, dimension)
            for value_code, value in enumerate(labels.names):
                at = first_seen.get((route, dimension, value))
                if at is None or at < began + length:
                    continue
                fresh = (requests.at >= at) & (requests.at < at + length)
                found |= (requests.route.codes == code) & (labels.codes == value_code) & fresh
    return found


def _named(requests: Candidates, trace_ids: Collection[str]) -> NDArray[np.bool_]:
    if not trace_ids:
        return np.zeros(requests.size, np.bool_)
    found = pc.is_in(requests.trace_id, value_set=pa.array(sorted(trace_ids), pa.string()))
    return np.asarray(found.to_numpy(), np.bool_)
