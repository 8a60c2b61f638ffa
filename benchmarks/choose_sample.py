"""Choosing the sample from 1,000,000 eligible requests of a day in an SQLite store: seconds, and peak memory.

Everything is in it: reading the requests with their last call and what users said, what is usual and new, strata,
permanent numbers, inclusion probabilities, and writing the sample and the sizes of its strata.

    .venv/bin/python benchmarks/choose_sample.py [--requests 1000000]
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from watchkeeper.database.engine import Store, open_store
from watchkeeper.migrations.migrate import migrate
from watchkeeper.observability.request import Request, hour_of
from watchkeeper.scoring import service
from watchkeeper.scoring.planning import Plan
from watchkeeper.scoring.scored import State
from watchkeeper.scoring.scorer import LiveScore

GOAL_S, GOAL_MB = 10.0, 500
DAY = datetime(2026, 11, 24, tzinfo=UTC)
ROUTES = [f"route-{n}" for n in range(8)]
_TOGETHER = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--in-store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_store:
        print(json.dumps(_chosen(options.in_store)))
        return
    found = measured(options.requests)
    document = {"benchmark": "choose_sample", "value": found["seconds"], "unit": "s", "goal": GOAL_S, "better": "lower"}
    print(json.dumps({**document, "details": found}))


def measured(requests: int = 1_000_000) -> dict[str, Any]:
    """Seconds, peak MB of the process that chose, and how many it chose."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/bench.db"
        migrate(url)
        store = open_store(url)
        _fill(store, requests)
        store.close()
        # Another process: the memory it took to make the requests is none of ours.
        done = subprocess.run([sys.executable, __file__, "--in-store", url], capture_output=True, text=True, check=True)
        return {"requests": requests, "goal_mb": GOAL_MB, **json.loads(done.stdout)}


class _Unused:
    name, version, paid = "unused", "1", False

    def score(self, requests: Sequence[Request]) -> list[LiveScore]:
        raise AssertionError("nothing is scored here")


def _chosen(url: str) -> dict[str, Any]:
    store = open_store(url)
    plan = Plan(
        scorers={route: [_Unused()] for route in ROUTES},
        target=0.02,
        day_nano_usd=0,
        settle=timedelta(minutes=10),
    )
    now = DAY + timedelta(days=1, hours=1)
    began = time.perf_counter()
    totals = service.sample(
        store, Path(url.removeprefix("sqlite:///")).parent / "facts", plan, State(salt="5a" * 32, began=DAY), 0.02,
        now=now, since=None, write=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    store.close()
    return {
        "seconds": round(seconds, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "chosen": sum(totals.new.values()),
        "eligible": sum(sum(each.values()) for each in totals.eligible.values()),
    }


def _fill(store: Store, count: int) -> None:
    """Plain rows: how they came in is measured elsewhere."""
    rng = random.Random(1)
    requests = (
        "INSERT INTO requests (trace_id, span_id, started_at, route, source, segment, prompt_id, prompt_version, "
        "response_hash, error_type, latency_ms, calls, unpriced, tokens_output, retrieval_missed, attributes) "
        "VALUES (?, ?, ?, ?, 'production', ?, 'answer', ?, 'h', ?, ?, 1, 0, ?, ?, '{}')"
    )
    calls = (
        "INSERT INTO calls (trace_id, span_id, request_span_id, place, model_served, params, message_hashes, "
        "finish_reason, flags, more) VALUES (?, ?, ?, 0, ?, '{}', '[]', ?, '[]', x'')"
    )
    with store.write() as session:
        connection = session.connection()
        for some in _rows(rng, count):
            connection.exec_driver_sql(requests, [row[:10] for row in some])
            connection.exec_driver_sql(calls, [(row[0], f"{row[1]}c"[:16], row[1], *row[10:]) for row in some])
        hours = [(hour_of(DAY) + n,) for n in range(24)]
        connection.exec_driver_sql("INSERT INTO touched_hours (hour, version) VALUES (?, 1)", hours)


def _rows(rng: random.Random, count: int) -> Iterator[list[tuple[Any, ...]]]:
    for start in range(0, count, _TOGETHER):
        some: list[tuple[Any, ...]] = []
        for number in range(start, min(count, start + _TOGETHER)):
            at = DAY + timedelta(seconds=86_400 * number / count)
            some.append(
                (
                    f"{rng.getrandbits(128):032x}", f"{rng.getrandbits(64):016x}",
                    at.replace(tzinfo=None).isoformat(" ", "microseconds"), rng.choice(ROUTES),
                    rng.choice(("free", "pro", None)), rng.choice("123"), rng.choice([None] * 49 + ["timeout"]),
                    rng.lognormvariate(6, 1), rng.randint(10, 500), rng.random() < 0.02,
                    rng.choice(("m-1", "m-2")), rng.choice(["stop"] * 99 + ["length"]),
                )
            )  # fmt: skip
        yield some


if __name__ == "__main__":
    main()
