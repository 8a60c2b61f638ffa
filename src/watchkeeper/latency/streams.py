"""Facts as streams of latencies: one a route, model and prompt version, those with few requests together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

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
Marks = NDArray[np.bool_]


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


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """One label of each of many requests: the name of its code; None where the record says none.

    Attributes:
        codes: shape (n,), places in `names`.
        names: Each once.
    """

    codes: NDArray[np.int64]
    names: Sequence[str | None]

    def having(self, name: str | None) -> Marks:
        """Which of them have this name."""
        code = self.names.index(name) if name in self.names else -1
        return np.asarray(self.codes == code, np.bool_)

    def distinct(self, which: Marks | None = None) -> list[str | None]:
        """The names that occur, of these requests or of all; None last."""
        found = [self.names[code] for code in np.unique(self.codes if which is None else self.codes[which])]
        return sorted(found, key=lambda name: (name is None, name or ""))

    def first_places(self, which: Marks) -> dict[str | None, int]:
        """Name -> place of its first request among these."""
        places = np.flatnonzero(which)
        codes, firsts = np.unique(self.codes[places], return_index=True)
        return {self.names[code]: int(places[first]) for code, first in zip(codes, firsts, strict=True)}

    def __getitem__(self, which: slice) -> "Labels":
        return Labels(self.codes[which], self.names)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """All requests of the last weeks, by time; every array has shape (n,)."""

    at: Floats
    route: Labels
    model: Labels
    prompt: Labels
    release: Labels
    answered: Marks
    timed_out: Marks
    latency_ms: Floats
    ttft_ms: Floats
    output: Floats

    def upto(self, now: datetime) -> "Traffic":
        """What had started before a time."""
        last = int(np.searchsorted(self.at, now.timestamp()))
        return Traffic(**{name: getattr(self, name)[:last] for name in Traffic.__dataclass_fields__})

    def answers(self, which: Marks) -> Answers:
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
    timeouts = [code for code, name in enumerate(errors.names) if name is not None and _TIMEOUT.search(name)]
    output = _numbers(requests.column("tokens_output"))
    reasoning = np.nan_to_num(_numbers(requests.column("tokens_reasoning")))
    return Traffic(
        at=requests.column("started_at").to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6,
        route=_labels(requests.column("route")),
        model=_models(requests.column("trace_id"), calls),
        prompt=_prompts(requests),
        release=_labels(requests.column("release")),
        answered=errors.having(None),
        timed_out=np.isin(errors.codes, timeouts),
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
    for route in traffic.route.distinct():
        on_route = traffic.route.having(route)
        few = np.zeros(on_route.shape, np.bool_)
        for model in traffic.model.distinct(on_route):
            of_model = on_route & traffic.model.having(model)
            for prompt in traffic.prompt.distinct(of_model):
                mine = of_model & traffic.prompt.having(prompt)
                answers = traffic.answers(mine)
                days = max(1.0, (now.timestamp() - answers.at[0]) / DAY_S) if answers.at.size else 1.0
                if model is not None and answers.at.size >= per_day * days:
                    found[Stream(route or "", model, prompt or "")] = answers
                else:
                    few |= mine
        if few.any():
            found[Stream(route or "")] = traffic.answers(few)
    return found


def _models(traces: pa.ChunkedArray, calls: pa.Table) -> Labels:
    """The model of each request: of all its calls; None where no call says one."""
    by_trace = calls.group_by("trace_id").aggregate([("model", "min"), ("model", "max")])
    low, high = by_trace.column("model_min"), by_trace.column("model_max")
    names = pc.if_else(pc.equal(low, high), low, pc.binary_join_element_wise(low, high, " + "))
    return _labels(names.take(pc.index_in(traces, value_set=by_trace.column("trace_id"))))


def _prompts(requests: pa.Table) -> Labels:
    """ID@VERSION, or the one of the two that there is."""
    prompt, version = requests.column("prompt_id"), requests.column("prompt_version")
    return _labels(pc.coalesce(pc.binary_join_element_wise(prompt, version, "@"), prompt, version))


def _labels(column: pa.ChunkedArray) -> Labels:
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    names = [name or None for name in encoded.dictionary.to_pylist()]  # an empty name is none
    if None not in names:
        names.append(None)
    codes = encoded.indices.fill_null(names.index(None)).to_numpy(zero_copy_only=False)
    return Labels(codes.astype(np.int64), names)


def _numbers(column: pa.ChunkedArray) -> Floats:
    values: Sequence[float] = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
    return np.asarray(values, float)
