"""How much judging live answers adds to the judge's own calls: wall time as a ratio to the ideal, in one process.

Ideal = judgements x latency / concurrency. Each judgement is rendered, looked up, asked for over real HTTP, read,
priced, and kept in an SQLite store in a file, together with the masked record of its call. A second round finds all of
them known. `bare_ratio` is the judge's calls alone over the same client, with nothing else of ours: what the machine
makes of the ideal at that moment.

    .venv/bin/python benchmarks/score_live.py [--judgements 1000] [--repeat 5]
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

import choose_sample

from watchkeeper.cost.own_calls import price_by
from watchkeeper.cost.prices import PriceList
from watchkeeper.database.engine import Store, open_store
from watchkeeper.evaluation.judge import call_params, render
from watchkeeper.evaluation.judgement import Judgement
from watchkeeper.evaluation.material import Item
from watchkeeper.evaluation.rubric import Rubric, RubricShelf
from watchkeeper.evaluation.service import judge
from watchkeeper.foundation.clock import SystemClock
from watchkeeper.foundation.collector import calm_collector
from watchkeeper.migrations.migrate import migrate
from watchkeeper.observability.masking import Redactor
from watchkeeper.observability.redact import Policy
from watchkeeper.providers.connect import ProviderConfig, connect

SERVER = Path(__file__).parent / "stand_in" / "chat_server.py"
ANSWER = '{"reason": "It answers the question and names the order.", "score": 4}'
LATENCY_MS = 50
CONCURRENCY = 50
GOAL = 1.3
RUBRIC = "---\nscale: 1-5\nmodel: bench/bench-1\nparams: {temperature: 0}\n---\n" + "The answer is friendly. " * 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judgements", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5, help="runs; the median counts")
    options = parser.parse_args()
    runs = [one(options.judgements) for _ in range(options.repeat)]
    value = statistics.median(run["ratio"] for run in runs)
    details = {
        "judgements": options.judgements,
        "ratios": [round(run["ratio"], 3) for run in runs],
        "bare_ratio": round(statistics.median(run["bare_ratio"] for run in runs), 3),
        "ideal_s": options.judgements * LATENCY_MS / 1000 / CONCURRENCY,
        "cpu_s": round(statistics.median(run["cpu_s"] for run in runs), 2),
        "known_again_s": round(statistics.median(run["again_s"] for run in runs), 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "stored": runs[0]["stored"],
        "choosing": choose_sample.measured(),
    }
    document = {"benchmark": "score_live", "value": round(value, 3), "unit": "x ideal", "goal": GOAL, "better": "lower"}
    print(json.dumps({**document, "details": details}))


def one(judgements: int) -> dict[str, Any]:
    """One run against a judge that only waits; the same again, when everything is known; and the calls alone."""
    items = [
        Item(id=f"{n:032x}", input=f"Where is my order A-{n}?", response=f"Order A-{n} was sent. " * 20)
        for n in range(judgements)
    ]
    with _judge_server() as port, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tone.md").write_text(RUBRIC)
        rubric = RubricShelf(folder=folder).read("tone")
        provider = ProviderConfig(
            name="bench", kind="openai", base_url=f"http://127.0.0.1:{port}/v1", concurrency=CONCURRENCY
        )
        migrate(f"sqlite:///{folder}/bench.db")
        store = open_store(f"sqlite:///{folder}/bench.db")
        cpu = time.process_time()
        wall, found = _timed(_judged(store, items, rubric, provider))
        cpu = time.process_time() - cpu
        again_s, again = _timed(_judged(store, items, rubric, provider))
        bare_s, _ = _timed(_bare(items, rubric, provider))
        with store.read() as session:
            votes, records = (
                session.connection().exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
                for table in ("judgements", "requests")
            )
        store.close()
    if (votes, records) != (judgements, judgements) or {j.value for j in (*found, *again)} != {0.75}:
        sys.exit(f"not every judgement is there and right: {votes} votes, {records} records")
    ideal = judgements * LATENCY_MS / 1000 / CONCURRENCY
    return {
        "ratio": wall / ideal,
        "bare_ratio": bare_s / ideal,
        "cpu_s": cpu,
        "again_s": again_s,
        "stored": {"votes": votes, "records": records},
    }


def _timed(work: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    with calm_collector():
        result = asyncio.run(work)
    return time.perf_counter() - began, result


async def _judged(store: Store, items: Sequence[Item], rubric: Rubric, provider: ProviderConfig) -> list[Judgement]:
    chat, clock = connect(provider), SystemClock()
    try:
        return await judge(
            store,
            items,
            rubric=rubric,
            chat=chat,
            provider=provider,
            price=price_by(PriceList(provider.base_url, provider="bench"), rubric.model_name, clock),
            clock=clock,
            policy=Policy(redactor=Redactor({}), content="full", routes={}, secret=None, keep=frozenset()),
        )
    finally:
        await chat.aclose()


async def _bare(items: Sequence[Item], rubric: Rubric, provider: ProviderConfig) -> None:
    chat = connect(provider)
    queue = iter([render(rubric, item).messages for item in items])

    async def work() -> None:
        for messages in queue:
            await chat.complete(rubric.model_name, messages, call_params(rubric, "openai"))

    await asyncio.gather(*(work() for _ in range(CONCURRENCY + CONCURRENCY // 2 + 1)))
    await chat.aclose()


@contextmanager
def _judge_server() -> Iterator[str]:
    command = [sys.executable, str(SERVER), str(LATENCY_MS), ANSWER]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=10)


if __name__ == "__main__":
    main()
