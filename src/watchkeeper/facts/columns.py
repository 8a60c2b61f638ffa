"""The fact tables as data: their columns, and the query that gives an hour's rows. Another table is one entry more.

No text and no user: labels, ids, counts, durations, money in whole nano-dollars. What is not known is NULL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from watchkeeper.foundation.errors import NotFound

Kind = Literal["time", "label", "key", "id", "count", "ms", "share", "flag"]
"""A label takes few values, a key many; both can be broken down by. An id only leads back to the record."""

_TYPES: Mapping[Kind, pa.DataType] = {
    "time": pa.timestamp("us", tz="UTC"),
    "label": pa.string(),
    "key": pa.string(),
    "id": pa.string(),
    "count": pa.int64(),
    "ms": pa.float64(),
    "share": pa.float64(),
    "flag": pa.bool_(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `sql` is what it is in the store."""

    name: str
    kind: Kind
    sql: str

    @property
    def type(self) -> pa.DataType:
        """Its type in Parquet and Arrow."""
        return _TYPES[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactTable:
    """A fact table.

    Attributes:
        name: Of its folder, and in fact_hours.
        source: What stands after FROM in the store; `r` is the table of requests.
        columns: The first one is the time whose hour the row belongs to.
    """

    name: str
    source: str
    columns: Sequence[Column]

    @property
    def labels(self) -> list[str]:
        """The columns figures can be broken down by and filtered on."""
        return [column.name for column in self.columns if column.kind in ("label", "key")]

    def pick(self, names: Sequence[str] | None) -> list[Column]:
        """The columns of these names, in their order; all of them for None.

        Raises:
            NotFound: If there is no such column.
        """
        if names is None:
            return list(self.columns)
        known = {column.name: column for column in self.columns}
        for name in names:
            if name not in known:
                raise NotFound("column", name, list(known), where=f"in the facts of {self.name}")
        return [known[name] for name in names]


def schema(columns: Sequence[Column]) -> pa.Schema:
    """The columns as Arrow has them."""
    return pa.schema([(column.name, column.type) for column in columns])


def fact_table(name: str) -> FactTable:
    """The fact table of a name.

    Raises:
        NotFound: If there is none.
    """
    if name not in FACTS:
        raise NotFound("fact table", name, list(FACTS))
    return FACTS[name]


TOKENS = ("tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write", "tokens_reasoning")


def _columns(kind: Kind, of: str, *names: str) -> list[Column]:
    return [Column(name=name, kind=kind, sql=f"{of}.{name}") for name in names]


_OF_REQUEST = [
    *_columns("time", "r", "started_at"),
    *_columns("label", "r", "route", "source", "segment", "environment", "release"),
    *_columns("label", "r", "prompt_id", "prompt_version", "experiment", "variant"),
    *_columns("key", "r", "session_id", "job_id"),
    *_columns("id", "r", "trace_id"),
]


def _measures(of: str) -> list[Column]:
    return [
        *_columns("label", of, "error_type"),
        *_columns("count", of, *TOKENS, "cost_nano_usd"),
        *_columns("ms", of, "ttft_ms", "latency_ms"),
    ]


FACTS: Mapping[str, FactTable] = {
    table.name: table
    for table in (
        FactTable(
            name="requests",
            source="requests r",
            columns=[
                *_OF_REQUEST,
                *_measures("r"),
                *_columns("count", "r", "calls", "unpriced"),
                *_columns("flag", "r", "retrieval_missed"),
            ],
        ),
        FactTable(
            name="calls",
            source="requests r JOIN calls c ON c.trace_id = r.trace_id AND c.request_span_id = r.span_id",
            columns=[
                *_OF_REQUEST,
                *_measures("c"),
                *_columns("label", "c", "provider", "model_requested", "finish_reason"),
                Column(name="model", kind="label", sql="COALESCE(c.model_served, c.model_requested)"),
            ],
        ),
        FactTable(
            name="scores",
            source="requests r JOIN scores s ON s.trace_id = r.trace_id AND s.span_id = r.span_id",
            columns=[
                *_OF_REQUEST,
                *_columns("label", "s", "scorer", "scorer_version", "stratum", "judge_model", "missing"),
                *_columns("share", "s", "value", "inclusion"),
                *_columns("count", "s", "cost_nano_usd"),
            ],
        ),
    )
}
"""Name -> fact table. A call has the labels of its request, and its own error, tokens, cost and durations."""
