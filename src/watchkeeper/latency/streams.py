"""Facts as streams of latencies: one a route, model and prompt version, those with few requests together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

DAY_S = 86_400.0

REQUEST_COLUMNS = (
    "started_at", "route", "prompt_id", "prompt_version", "release", "error_type", "tokens_output",
    "tokens_reasoning", "ttft_ms", "latency_ms", "trace_id",
)  # fmt: skip
CALL_COLUMNS = ("trace_id", "model")
"""The columns that are read of requests and of calls."""

_TIMEOUT = re.compile(r"time.?out|timed.?out|deadline", re.IGNORECASE)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """What is looked at together. None stands for any: the requests of a route that are too few alone.

    Attributes:
        model: As it answered; "a + b" where a request had calls of both.
        prompt: ID@VERSION.
    """

    route: str
    model: str | None = None
    prompt: str | None = None

    @property
    def subject(self) -> dict[str, str]:
        """What an incident about it is about."""
        return {"route": self.route} if self.model is None else {"route": self.route, "model": self.model}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """Requests that were answered, by time; every array has shape (n,), NaN where nothing was measured.

    Attributes:
        at: Seconds since 1970, ascending.
        output: Tokens of the answer, reasoning too.
    """

    at: Floats
    latency_ms: Floats
    ttft_ms: Floats
    output: Floats

    def between(self, since: float, until: float) -> "Answers":
        """Those that started in [since, until)."""
        first, last = np.searchsorted(self.at, [since, until])
        return Answers(
            at=self.at[first:last],
            latency_ms=self.latency_ms[first:last],
            ttft_ms=self.ttft_ms[first:last],
            output=self.output[first:last],
        )

    @property
    def ms_per_token(self) -> Floats:
        """Latency over output tokens; NaN where there were none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.output > 0, self.latency_ms / self.output, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """All requests of the last weeks, by time; every array has shape (n,)."""

    at: Floats
    route: NDArray[np.object_]
    model: NDArray[np.object_]
    prompt: NDArray[np.object_]
    release: NDArray[np.object_]
    answered: NDArray[np.bool_]
    timed_out: NDArray[np.bool_]
    latency_ms: Floats
    ttft_ms: Floats
    output: Floats

    def upto(self, now: datetime) -> "Traffic":
        """What had started before a time."""
        last = int(np.searchsorted(self.at, now.timestamp()))
        return Traffic(**{name: getattr(self, name)[:last] for name in Traffic.__dataclass_fields__})

    def answers(self, which: NDArray[np.bool_]) -> Answers:
        """Those of a mask that were answered."""
        mine = which & self.answered
        return Answers(
            at=self.at[mine],
            latency_ms=self.latency_ms[mine],
            ttft_ms=self.ttft_ms[mine],
            output=self.output[mine],
        )


def traffic_of(requests: pa.Table, calls: pa.Table) -> Traffic:
    """Facts of requests and of calls brought together, in the order of time."""
    requests = requests.sort_by("started_at")
    errors = _labels(requests.column("error_type"))
    named = {name: bool(_TIMEOUT.search(name)) for name in set(errors.tolist()) if name}
    output = _numbers(requests.column("tokens_output"))
    reasoning = np.nan_to_num(_numbers(requests.column("tokens_reasoning")))
    return Traffic(
        at=requests.column("started_at").to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6,
        route=_labels(requests.column("route")),
        model=_models(requests.column("trace_id"), calls),
        prompt=_prompts(requests),
        release=_labels(requests.column("release")),
        answered=np.array([error is None for error in errors], np.bool_),
        timed_out=np.array([named.get(error, False) for error in errors], np.bool_),
        latency_ms=_numbers(requests.column("latency_ms")),
        ttft_ms=_numbers(requests.column("ttft_ms")),
        output=output + reasoning,
    )


def streams_of(traffic: Traffic, now: datetime, *, per_day: int) -> Mapping[Stream, Answers]:
    """The streams of what was answered.

    Args:
        per_day: Requests a day since its first below which a route's model and prompt version joins the others of the
            route.
    """
    found: dict[Stream, Answers] = {}
    for route in sorted(set(traffic.route.tolist())):
        on_route = traffic.route == route
        pairs = sorted(
            set(zip(traffic.model[on_route], traffic.prompt[on_route], strict=True)),
            key=lambda p: (p[0] or "", p[1] or ""),
        )
        few = np.zeros(on_route.shape, np.bool_)
        for model, prompt in pairs:
            mine = on_route & _equal(traffic.model, model) & _equal(traffic.prompt, prompt)
            answers = traffic.answers(mine)
            days = max(1.0, (now.timestamp() - answers.at[0]) / DAY_S) if answers.at.size else 1.0
            if model is not None and answers.at.size >= per_day * days:
                found[Stream(route, model, prompt or "")] = answers
            else:
                few |= mine
        if few.any():
            found[Stream(route)] = traffic.answers(few)
    return found


def _equal(values: NDArray[np.object_], value: str | None) -> NDArray[np.bool_]:
    return np.asarray(values == value, np.bool_)


def _models(traces: pa.ChunkedArray, calls: pa.Table) -> NDArray[np.object_]:
    """The model of each request: of all its calls; None where no call says one."""
    by_trace = calls.group_by("trace_id").aggregate([("model", "min"), ("model", "max")])
    names = [
        low if low == high else f"{low} + {high}"
        for low, high in zip(
            by_trace.column("model_min").to_pylist(), by_trace.column("model_max").to_pylist(), strict=True
        )
    ]
    places = pc.index_in(traces, value_set=by_trace.column("trace_id")).fill_null(len(names)).to_numpy()
    named: NDArray[np.object_] = np.array([*names, None], object)[places]
    return named


def _prompts(requests: pa.Table) -> NDArray[np.object_]:
    pairs = zip(_labels(requests.column("prompt_id")), _labels(requests.column("prompt_version")), strict=True)
    names: dict[tuple[Any, Any], str | None] = {(None, None): None}
    return np.array(
        [names.setdefault(pair, "@".join(each for each in pair if each is not None)) for pair in pairs], object
    )


def _labels(column: pa.ChunkedArray) -> NDArray[np.object_]:
    found = np.empty(len(column), object)
    found[:] = column.to_pylist()
    return found


def _numbers(column: pa.ChunkedArray) -> Floats:
    values: Sequence[float] = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
    return np.asarray(values, float)
