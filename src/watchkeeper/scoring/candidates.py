"""Requests that may be sampled, as columns: what the store is asked for, and what sampling looks at."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from watchkeeper.facts.columns import Column, FactTable

LIVE_SOURCE = "production"
TRUNCATED = ("length", "max_tokens", "MAX_TOKENS")
"""Finish reasons of an answer that was cut off."""

_LABELS: dict[str, str] = {
    "route": "r.route",
    "source": "r.source",
    "segment": "r.segment",
    "prompt_id": "r.prompt_id",
    "prompt_version": "r.prompt_version",
    "release": "r.release",
    "model": "COALESCE(c.model_served, c.model_requested)",
    "finish_reason": "c.finish_reason",
}
_SEPARATOR = "\x1f"
"""Stands in no label: they are texts of one line."""

_FLAGS: dict[str, str] = {
    "responded": "r.response_hash IS NOT NULL",
    "failed": "r.error_type IS NOT NULL",
    "retrieval_missed": "r.retrieval_missed",
}

CANDIDATES = FactTable(
    name="candidates",
    # The last call of a request gives its answer; places are counted from 0.
    source=(
        "requests r LEFT JOIN calls c ON c.trace_id = r.trace_id AND c.request_span_id = r.span_id "
        "AND c.place = r.calls - 1"
    ),
    # All labels as one text and all flags as one number: of a million rows, what Python makes of each value is most
    # of the time, and few combinations of labels occur.
    columns=[
        Column(name="started_at", kind="time", sql="r.started_at"),
        Column(name="trace_id", kind="id", sql="r.trace_id"),
        Column(name="span_id", kind="id", sql="r.span_id"),
        Column(
            name="labels",
            kind="label",
            sql=f" || '{_SEPARATOR}' || ".join(f"COALESCE({each}, '')" for each in _LABELS.values()),
        ),
        Column(name="latency_ms", kind="ms", sql="r.latency_ms"),
        Column(name="tokens_output", kind="count", sql="r.tokens_output"),
        Column(
            name="flags",
            kind="count",
            sql=" + ".join(f"CASE WHEN {each} THEN {1 << n} ELSE 0 END" for n, each in enumerate(_FLAGS.values())),
        ),
    ],
)


def packed_labels(labels: Mapping[str, str | None]) -> str:
    """Labels by name as the column has them."""
    return _SEPARATOR.join(labels.get(name) or "" for name in _LABELS)


def packed_flags(flags: Collection[str]) -> int:
    """The names of flags that hold as the column has them."""
    return sum(1 << n for n, name in enumerate(_FLAGS) if name in flags)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """One label of every request: `codes`, shape (requests,), are places in `names`; -1 is "the record says none"."""

    codes: NDArray[np.int32]
    names: Sequence[str]

    def name(self, place: int) -> str | None:
        """The label of one request."""
        code = int(self.codes[place])
        return None if code < 0 else self.names[code]

    def of(self, *names: str) -> NDArray[np.bool_]:
        """Which requests have one of these labels."""
        wanted = [code for code, name in enumerate(self.names) if name in names]
        return np.isin(self.codes, wanted)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which requests have one at all."""
        return np.asarray(self.codes >= 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Requests as columns; every array has shape (requests,).

    Attributes:
        at: When they started, seconds since 1970.
        prompt: ID@VERSION, or the one of them that is known.
        latency_ms, output: NaN where not known; output tokens stand for the length of the answer.
        responded: There is an answer to score.
        truncated: It was cut off.
        contract_broken: It broke the format its route promises; all False where there is no contract.
    """

    at: NDArray[np.float64]
    trace_id: pa.ChunkedArray
    span_id: pa.ChunkedArray
    route: Labels
    source: Labels
    segment: Labels
    prompt: Labels
    release: Labels
    model: Labels
    latency_ms: NDArray[np.float64]
    output: NDArray[np.float64]
    failed: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    retrieval_missed: NDArray[np.bool_]
    responded: NDArray[np.bool_]
    contract_broken: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """How many there are."""
        return int(self.at.size)

    @property
    def live(self) -> NDArray[np.bool_]:
        """Those of real users; a record that does not say where it comes from is taken for one."""
        return ~self.source.known | self.source.of(LIVE_SOURCE)

    def eligible(self, settled_before: float) -> NDArray[np.bool_]:
        """Live, answered, and ended before a time (seconds since 1970)."""
        return self.live & self.responded & self.ended(settled_before)

    def ended(self, before: float) -> NDArray[np.bool_]:
        """Those that ended before a time; one whose latency is not known ended when it started."""
        return np.asarray(self.at + np.nan_to_num(self.latency_ms) / 1000.0 < before)


def candidates_of(table: pa.Table) -> Candidates:
    """The columns of a table of CANDIDATES, in its order."""
    labels = _unpacked(table.column("labels"))
    flags = table.column("flags").to_numpy()
    holds = {name: np.asarray(flags & (1 << n) != 0, np.bool_) for n, name in enumerate(_FLAGS)}
    return Candidates(
        at=_numbers(table.column("started_at").cast(pa.int64())) / 1e6,
        trace_id=table.column("trace_id"),
        span_id=table.column("span_id"),
        route=labels["route"],
        source=labels["source"],
        segment=labels["segment"],
        prompt=_joined(labels["prompt_id"], labels["prompt_version"]),
        release=labels["release"],
        model=labels["model"],
        latency_ms=_numbers(table.column("latency_ms")),
        output=_numbers(table.column("tokens_output")),
        failed=holds["failed"],
        truncated=labels["finish_reason"].of(*TRUNCATED),
        retrieval_missed=holds["retrieval_missed"],
        responded=holds["responded"],
        contract_broken=np.zeros(table.num_rows, np.bool_),
    )


def prompt_name(prompt_id: str | None, version: str | None) -> str | None:
    """ID@VERSION; the one that is known where the other is not."""
    return "@".join(part for part in (prompt_id, version) if part) or None


def _joined(ids: Labels, versions: Labels) -> Labels:
    both = (ids.codes.astype(np.int64) + 1) * (len(versions.names) + 1) + versions.codes + 1
    pairs, codes = np.unique(both, return_inverse=True)
    names = [
        prompt_name(ids.names[i - 1] if i else None, versions.names[v - 1] if v else None) or ""
        for i, v in (divmod(int(pair), len(versions.names) + 1) for pair in pairs)
    ]
    codes = codes.astype(np.int32)
    codes[both == 0] = -1
    return Labels(codes=codes, names=names)


def _unpacked(column: pa.ChunkedArray) -> dict[str, Labels]:
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    parts = [each.split(_SEPARATOR) for each in encoded.dictionary.to_pylist()]
    found = {}
    for n, name in enumerate(_LABELS):
        values = [each[n] for each in parts]
        names = sorted({value for value in values if value})
        place = {value: code for code, value in enumerate(names)}
        of_combination = np.array([place.get(value, -1) for value in values], np.int32)
        found[name] = Labels(codes=of_combination[codes], names=names)
    return found


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
