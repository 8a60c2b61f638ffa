"""The runner, killed again and again: nothing stored is lost, only what was in flight is asked anew."""

import json
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.e2e.conftest import Project, project  # noqa: F401  the fixture

CASES, CONCURRENCY, KILLS = 400, 8, 25
UPGRADE = ("upgrade", "--from", "replay/old-1", "--to", "replay/new-1")


@contextmanager
def counting_provider(seconds: float) -> Iterator[tuple[str, Counter[tuple[str, str]]]]:
    """A provider that answers after a while, and how often each model was asked each question."""
    asked: Counter[tuple[str, str]] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer({"object": "list", "data": [{"id": "old-1"}, {"id": "new-1"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked[body["model"], body["messages"][-1]["content"]] += 1
            time.sleep(seconds)  # the provider thinks
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
            self.answer({"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice]})

        def answer(self, document: object) -> None:
            encoded = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()


def answers(project: Project) -> set[tuple[str, str]]:  # noqa: F811
    database = project.root / "watchkeeper.db"
    if not database.exists():
        return set()
    with sqlite3.connect(database) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if "attempts" not in tables:
            return set()
        return set(connection.execute("SELECT run_id, case_id FROM attempts WHERE response IS NOT NULL"))


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_runner_killed_many_times_loses_nothing_and_asks_only_what_was_in_flight(project: Project) -> None:  # noqa: F811
    dice = random.Random(7)
    project.suite("s", [{"id": f"c{n}", "input": f"question {n}", "reference": "yes"} for n in range(CASES)])
    with counting_provider(0.05) as (url, asked):
        project.config(url, provider=f"concurrency = {CONCURRENCY}")
        kept: set[tuple[str, str]] = set()
        kills = 0
        for _ in range(KILLS):
            process = project.start(*UPGRADE)
            deadline = time.monotonic() + 60
            target = len(kept) + dice.randrange(1, 30)
            while len(answers(project)) < target and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            now = answers(project)
            assert kept <= now
            kept = now
        done = project.run(*UPGRADE, "--json")
    assert done.code == 0, done.err
    assert len(answers(project)) == 2 * CASES
    assert kills > 5
    # What was in flight when it was killed, and what had finished in the half second before it is stored.
    per_kill = CONCURRENCY + CONCURRENCY * 0.5 / 0.05
    assert asked.total() - 2 * CASES <= kills * per_kill
