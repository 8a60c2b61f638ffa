"""How much a regression run adds to its calls: wall time of the run as a ratio to the ideal, in one process.

Ideal = calls x latency / concurrency. A run asks every case of both models, stores every answer, scores it
with an exact scorer, compares and stores the verdict. `--cases N` measures N calls in all: N / 2 cases on each
of two models; the details say both. With `--fault` the calls go through `watchkeeper replay`, which fails the
given shares of them, and the ideal gains the timeout; `--faults` is the three faults of the README.

    .venv/bin/python benchmarks/regression_run.py [--cases 1000] [--repeat 5]
    .venv/bin/python benchmarks/regression_run.py --cases 300 --fault 429=0.02 --fault 500=0.01 --fault hang=0.005
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watchkeeper.database.engine import open_store
from watchkeeper.foundation.clock import SystemClock
from watchkeeper.migrations.migrate import migrate
from watchkeeper.providers.connect import ProviderConfig
from watchkeeper.regression.service import check
from watchkeeper.regression.suite_files import read_suite
from watchkeeper.regression.target import Comparing, Target

SERVER = Path(__file__).parent / "stand_in" / "chat_server.py"
LATENCY_MS = 50
CONCURRENCY = 50
GOAL = 1.3
README_FAULTS = ("429=0.02", "500=0.01", "hang=0.005")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, help="calls in all, half on each model; default 1000, with faults 300")
    parser.add_argument("--repeat", type=int, default=5, help="runs without faults; the median counts")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="KIND=RATE", help="a status or hang; repeatable"
    )
    parser.add_argument("--faults", action="store_true", help="the faults of the README")
    options = parser.parse_args()
    if options.cases is not None and options.cases < 2:
        parser.error("--cases: at least 2, one on each model")
    faults = [*(README_FAULTS if options.faults else ()), *options.fault]
    if faults:
        print(json.dumps(with_faults(faults, calls=options.cases or 300)))
        return
    calls = options.cases or 1000
    runs = [clean(calls) for _ in range(options.repeat)]
    value = statistics.median(run["ratio"] for run in runs)
    goal = GOAL if calls < 10_000 else 1.2
    details = {
        **_sizes(calls),
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


def _sizes(calls: int) -> dict[str, int]:
    return {"calls": calls // 2 * 2, "cases": calls // 2, "models": 2}


def with_faults(faults: Sequence[str], *, calls: int, timeout_s: float = 5.0) -> dict[str, Any]:
    """One run through replay with faults; must end with the right verdict."""
    cases = calls // 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = folder / "recordings.jsonl"
        rows = [
            {"model": model, "prompt": f"question {n}", "response": "yes"}
            for model in ("bench-1", "bench-2")
            for n in range(cases)
        ]
        recordings.write_text("\n".join(json.dumps(row) for row in rows))
        failing = [part for fault in faults for part in ("--fault", fault)]
        serving = ["replay", str(recordings), "--port", "0", "--latency", str(LATENCY_MS), *failing]
        command = ["-m", "watchkeeper", *serving]
        with _process(*command, "--seed", "1") as port:
            found = _timed(folder, cases, f"http://127.0.0.1:{port}/v1", timeout_s=timeout_s, latency_ms=LATENCY_MS)
    ideal = timeout_s + found["ideal_s"]
    return {
        "benchmark": "regression_run_faults",
        "value": round(found["wall_s"] / ideal, 3),
        "unit": "x (timeout + ideal)",
        "goal": 1.2,
        "better": "lower",
        "details": {
            **_sizes(calls),
            "faults": list(faults),
            **{key: found[key] for key in ("wall_s", "verdict", "retried", "missing")},
        },
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
        line = process.stdout.readline().strip()
        if not line:
            sys.exit(1)  # it has said why
        yield line.rpartition(":")[2]
    finally:
        process.terminate()
        process.wait(timeout=10)


if __name__ == "__main__":
    main()
