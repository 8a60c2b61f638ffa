"""How much a regression run adds to its calls: wall time of the run as a ratio to the ideal, in one process.

Ideal = calls x latency / concurrency. A run asks every case of both models, stores every answer, scores it
with an exact scorer, compares and stores the verdict. With `--fault` the calls go through `watchkeeper replay`
and the ideal gains the timeout.

    .venv/bin/python benchmarks/regression_run.py [--cases 1000] [--repeat 5]
    .venv/bin/python benchmarks/regression_run.py --faults
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watchkeeper.database.engine import open_store
from watchkeeper.foundation.clock import SystemClock
from watchkeeper.migrations.migrate import migrate
from watchkeeper.providers.connect import ProviderConfig
from watchkeeper.regression.service import Comparing, Target, check
from watchkeeper.regression.suite_files import read_suite

SERVER = Path(__file__).parent / "stand_in" / "chat_server.py"
LATENCY_MS = 50
CONCURRENCY = 50
GOAL = 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="calls in all: half on each model")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--faults", action="store_true")
    options = parser.parse_args()
    if options.faults:
        print(json.dumps(with_faults()))
        return
    runs = [clean(options.cases) for _ in range(options.repeat)]
    value = statistics.median(run["ratio"] for run in runs)
    goal = GOAL if options.cases < 10_000 else 1.2
    details = {
        "cases": options.cases,
        "ratios": [round(run["ratio"], 3) for run in runs],
        "ideal_s": runs[0]["ideal_s"],
        "cpu_s": round(statistics.median(run["cpu_s"] for run in runs), 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "stored": runs[0]["stored"],
    }
    print(
        json.dumps(
            {
                "benchmark": "regression_run",
                "value": round(value, 3),
                "unit": "x ideal",
                "goal": goal,
                "better": "lower",
                "details": details,
            }
        )
    )


def clean(calls: int) -> dict[str, Any]:
    """One run against a server that only waits."""
    with _process(str(SERVER), str(LATENCY_MS)) as port, tempfile.TemporaryDirectory() as folder:
        return _timed(Path(folder), calls // 2, f"http://127.0.0.1:{port}/v1", timeout_s=60, latency_ms=LATENCY_MS)


def with_faults(cases: int = 300, timeout_s: float = 5.0) -> dict[str, Any]:
    """One run of 300 calls through replay with the faults of the README; must end with the right verdict."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = folder / "recordings.jsonl"
        rows = [
            {"model": model, "prompt": f"question {n}", "response": "yes"}
            for model in ("bench-1", "bench-2")
            for n in range(cases // 2)
        ]
        recordings.write_text("\n".join(json.dumps(row) for row in rows))
        faults = [part for fault in ("429=0.02", "500=0.01", "hang=0.005") for part in ("--fault", fault)]
        command = ["-m", "watchkeeper", "replay", str(recordings), "--port", "0", "--latency", str(LATENCY_MS), *faults]
        with _process(*command, "--seed", "1") as port:
            found = _timed(
                folder, cases // 2, f"http://127.0.0.1:{port}/v1", timeout_s=timeout_s, latency_ms=LATENCY_MS
            )
    ideal = timeout_s + found["ideal_s"]
    return {
        "benchmark": "regression_run_faults",
        "value": round(found["wall_s"] / ideal, 3),
        "unit": "x (timeout + ideal)",
        "goal": 1.2,
        "better": "lower",
        "details": {key: found[key] for key in ("wall_s", "verdict", "retried", "missing")},
    }


def _timed(folder: Path, cases: int, base_url: str, *, timeout_s: float, latency_ms: float) -> dict[str, Any]:
    suite = _suite(folder, cases)
    url = f"sqlite:///{folder}/bench.db"
    migrate(url)
    store = open_store(url)
    provider = ProviderConfig(
        name="bench", kind="openai", base_url=base_url, concurrency=CONCURRENCY, timeout_s=timeout_s
    )
    comparing = [
        Comparing(
            baseline=Target(provider="bench", model="bench-1", suite=suite),
            candidate=Target(provider="bench", model="bench-2", suite=suite),
        )
    ]
    began, cpu = time.perf_counter(), time.process_time()
    document = asyncio.run(check(store, comparing, kind="check", providers={"bench": provider}, clock=SystemClock()))
    wall = time.perf_counter() - began
    with store.read() as session:
        stored = session.connection().exec_driver_sql("SELECT count(*) FROM attempts").scalar()
    store.close()
    ideal = 2 * cases * latency_ms / 1000 / CONCURRENCY
    return {
        "wall_s": round(wall, 3),
        "ideal_s": ideal,
        "ratio": wall / ideal,
        "cpu_s": time.process_time() - cpu,
        "stored": stored,
        "verdict": document["verdict"],
        "retried": document["suites"][0]["retried"],
        "missing": len(document["suites"][0]["errors"]),
    }


def _suite(folder: Path, cases: int) -> Any:
    home = folder / "suites" / "bench"
    home.mkdir(parents=True)
    (home / "suite.yaml").write_text(
        'prompt: "{{ input }}"\nscorers:\n  - {name: same, kind: exact, equals: "{{ reference }}", primary: true}\n'
    )
    rows = [{"id": f"case-{n}", "input": f"question {n}", "reference": "yes"} for n in range(cases)]
    (home / "cases.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return read_suite(folder / "suites", "bench", prompts=folder)


@contextmanager
def _process(*command: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip().rpartition(":")[2]
    finally:
        process.terminate()
        process.wait(timeout=10)


if __name__ == "__main__":
    main()
