"""Facts as one view: files of the hours that are written, rows of those that are open; the only file with DuckDB."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from watchkeeper.facts.columns import TOKENS, Column, FactTable, schema
from watchkeeper.facts.usage import Duration, Usage
from watchkeeper.foundation.clock import as_utc
from watchkeeper.foundation.errors import StoreFailed
from watchkeeper.foundation.money import usd
from watchkeeper.observability.request import Tokens

Where = Mapping[str, str | None]
"""Label -> the value it must have; None is "the record says none"."""

MEASURES = ("started_at", "error_type", "cost_nano_usd", *TOKENS, "latency_ms", "ttft_ms")
"""The columns `usage` reads of every fact table; of requests `calls` and `unpriced` too."""

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What there is in [since, until).

    Attributes:
        files: Those of hours that are wholly inside.
        edges: Those of hours that begin before it or end after it.
        open_rows: What is in no file; all of it inside.
    """

    fact: FactTable
    folder: Path
    files: Sequence[str]
    edges: Sequence[str]
    open_rows: pa.Table
    since: datetime
    until: datetime


def select(view: View, columns: Sequence[Column], where: Where) -> pa.Table:
    """The rows of the view that match, in no order.

    Raises:
        StoreFailed: If a file cannot be read.
    """
    names = [column.name for column in columns]
    inside, values = _inside(view, sorted({*names, *where}), where)
    with _asked(view, f"SELECT {', '.join(names)} FROM ({inside})", values) as found:
        return found.to_arrow_table().cast(schema(columns))


def usage(view: View, by: Sequence[str], every: timedelta | None, where: Where) -> list[Usage]:
    """Figures of the rows that match, a row for each combination of labels and bucket of time; first those of the most.

    Raises:
        StoreFailed: If a file cannot be read.
    """
    of_requests = view.fact.name == "requests"
    counts = (
        ("count(*)", "sum(calls)", "sum(unpriced)")
        if of_requests
        else ("NULL", "count(*)", "count(*) - count(cost_nano_usd)")
    )
    columns = [*MEASURES, *(("calls", "unpriced") if of_requests else ())]
    microseconds = None if every is None else every // timedelta(microseconds=1)
    groups = [*by, "NULL" if microseconds is None else f"epoch_us(started_at) // {microseconds}"]
    figures = [
        "count(*)",
        *counts,
        "count(error_type)",
        "sum(cost_nano_usd)",
        *(f"sum({name})" for name in TOKENS),
        *(f"quantile_cont({name}, [0.5, 0.95])" for name in ("latency_ms", "ttft_ms")),
    ]
    inside, values = _inside(view, sorted({*columns, *by, *where}), where)
    query = f"SELECT {', '.join([*groups, *figures])} FROM ({inside}) GROUP BY ALL"
    with _asked(view, query, values) as found:
        rows = [row for row in found.fetchall() if row[len(groups)]]
    rows.sort(key=lambda row: (row[len(by)] or 0, -row[len(groups)], [str(value or "") for value in row[: len(by)]]))
    return [_usage(by, microseconds, row[: len(by)], row[len(by)], row[len(groups) + 1 :]) for row in rows]


def _usage(
    by: Sequence[str],
    microseconds: int | None,
    labels: Sequence[str | None],
    bucket: int | None,
    figures: Sequence[Any],
) -> Usage:
    requests, calls, unpriced, errors, cost, *tokens = figures
    latency, ttft = (
        Duration(p50=each[0], p95=each[1]) if each else Duration(p50=None, p95=None) for each in tokens[5:]
    )
    at = None
    if bucket is not None and microseconds is not None:
        at = _EPOCH + timedelta(microseconds=bucket * microseconds)
    return Usage(
        labels=dict(zip(by, labels, strict=True)),
        at=at,
        requests=requests,
        calls=int(calls),
        errors=errors,
        cost_usd=None if cost is None else usd(int(cost)),
        unpriced=int(unpriced),
        tokens=Tokens(**{name: None if n is None else int(n) for name, n in zip(_BUCKETS, tokens[:5], strict=True)}),
        latency_ms=latency,
        ttft_ms=ttft,
    )


_BUCKETS = [name.removeprefix("tokens_") for name in TOKENS]


def _inside(view: View, columns: Sequence[str], where: Where) -> tuple[str, list[Any]]:
    """The query of all rows that match, and its values."""
    matches = [f"{name} IS NULL" if value is None else f"{name} = ?" for name, value in where.items()]
    in_window = [f"started_at >= {_literal(view.since)}", f"started_at < {_literal(view.until)}"]
    sources = [(f"read_parquet([{_listed(view, view.files)}])", matches)] if view.files else []
    if view.edges:
        sources.append((f"read_parquet([{_listed(view, view.edges)}])", [*in_window, *matches]))
    if len(view.open_rows) or not sources:
        sources.append(("open_rows", matches))
    parts = [
        f"SELECT {', '.join(columns)} FROM {source}" + (f" WHERE {' AND '.join(conditions)}" if conditions else "")
        for source, conditions in sources
    ]
    return " UNION ALL ".join(parts), [value for value in where.values() if value is not None] * len(parts)


def _listed(view: View, names: Sequence[str]) -> str:
    paths = [escape(str(view.folder / name)) for name in names]
    return ", ".join("'" + path.replace("'", "''") + "'" for path in paths)


def _literal(at: datetime) -> str:
    return f"TIMESTAMPTZ '{as_utc(at).isoformat(' ', 'microseconds')}'"


@contextmanager
def _asked(view: View, query: str, values: Sequence[Any]) -> Iterator[duckdb.DuckDBPyRelation]:
    cursor = _database().cursor()
    try:
        cursor.register("open_rows", view.open_rows)
        yield cursor.sql(query, params=list(values))
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise StoreFailed(
            f"the facts in {view.folder} cannot be read ({said}); delete that folder, it is written again"
        ) from None
    finally:
        cursor.close()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One for the process: it keeps what it learned of files, which never change. Fetches nothing from anywhere."""
    opened = duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )
    opened.execute("SET GLOBAL parquet_metadata_cache = true")
    opened.execute("SET GLOBAL enable_external_file_cache = false")  # the system has them in memory already
    return opened
