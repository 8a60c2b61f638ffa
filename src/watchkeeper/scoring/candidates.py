"""Requests that may be sampled, as columns: what the store is asked for, and what sampling looks at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from watchkeeper.facts.columns import Column, FactTable

LIVE_SOURCE = "production"
TRUNCATED = ("length", "max_tokens", "MAX_TOKENS")
"""Finish reasons of an answer that was cut off."""

CANDIDATES = FactTable(
    name="candidates",
    # The last call of a request gives its answer; places are counted from 0.
    source=(
        "requests r LEFT JOIN calls c ON c.trace_id = r.trace_id AND c.request_span_id = r.span_id "
        "AND c.place = r.calls - 1"
    ),
    columns=[
        Column(name="started_at", kind="time", sql="r.started_at"),
        Column(name="trace_id", kind="id", sql="r.trace_id"),
        Column(name="span_id", kind="id", sql="r.span_id"),
        Column(name="route", kind="label", sql="r.route"),
        Column(name="source", kind="label", sql="r.source"),
        Column(name="segment", kind="label", sql="r.segment"),
        Column(name="prompt_id", kind="label", sql="r.prompt_id"),
        Column(name="prompt_version", kind="label", sql="r.prompt_version"),
        Column(name="release", kind="label", sql="r.release"),
        Column(name="model", kind="label", sql="COALESCE(c.model_served, c.model_requested)"),
        Column(name="finish_reason", kind="label", sql="c.finish_reason"),
        Column(name="error_type", kind="label", sql="r.error_type"),
        Column(name="latency_ms", kind="ms", sql="r.latency_ms"),
        Column(name="tokens_output", kind="count", sql="r.tokens_output"),
        Column(name="retrieval_missed", kind="flag", sql="r.retrieval_missed"),
        Column(name="responded", kind="flag", sql="r.response_hash IS NOT NULL"),
    ],
)


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
    labels = {name: _labels(table.column(name)) for name in ("route", "source", "segment", "release", "model")}
    finish = _labels(table.column("finish_reason"))
    return Candidates(
        at=_numbers(table.column("started_at").cast(pa.int64())) / 1e6,
        trace_id=table.column("trace_id"),
        span_id=table.column("span_id"),
        **labels,
        prompt=_joined(_labels(table.column("prompt_id")), _labels(table.column("prompt_version"))),
        latency_ms=_numbers(table.column("latency_ms")),
        output=_numbers(table.column("tokens_output")),
        failed=_labels(table.column("error_type")).known,
        truncated=finish.of(*TRUNCATED),
        retrieval_missed=_flags(table.column("retrieval_missed")),
        responded=_flags(table.column("responded")),
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


def _labels(column: pa.ChunkedArray) -> Labels:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Labels(codes=codes, names=encoded.dictionary.to_pylist())


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(column, False).to_numpy(), np.bool_)
