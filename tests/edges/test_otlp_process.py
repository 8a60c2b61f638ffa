"""The process that takes large bodies apart: it may be killed, and never outlives the server."""

import os
import signal
import time
from pathlib import Path

import httpx

from tests.edges.test_otlp import PROTOBUF, made, serving
from watchkeeper.foundation.clock import SystemClock
from watchkeeper.observability.decoding import DecodingProcess, taken_apart
from watchkeeper.observability.masking import Redactor
from watchkeeper.observability.redact import Policy

LARGE = 40_000
"""Characters that make a body go to the other process."""


def started_by(number: int) -> set[int]:
    """The Python processes a process started and that are alive, by their ids."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = file.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == number and state != "Z":
            found.add(int(file.parent.name))
    return found


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(numbers: set[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(alive(number) for number in numbers) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(alive(number) for number in numbers)


def send(port: int, number: int) -> httpx.Response:
    body = made(range(number, number + 1), extra=LARGE)
    return httpx.post(f"http://127.0.0.1:{port}/v1/traces", content=body, headers=PROTOBUF, timeout=30)


def test_a_body_is_taken_apart_alike_here_and_in_the_other_process() -> None:
    policy = Policy(redactor=Redactor({"number": r"question \d+"}), content="full", secret=b"s")
    now, body = SystemClock().now(), made(range(1, 3))
    process = DecodingProcess(policy)
    try:
        there = process.submit(body, "protobuf", "traces", now).result(timeout=60)
    finally:
        process.close()
    assert there == taken_apart(body, "protobuf", "traces", policy, now)
    assert there[1][0].facts["input"].startswith("[number]")


def test_a_decoding_process_that_is_killed_costs_a_wait_and_nothing_else(tmp_path: Path) -> None:
    with serving(tmp_path) as (port, server):
        assert send(port, 1).status_code == 200
        for number in started_by(server.pid):
            os.kill(number, signal.SIGKILL)
        answers = [send(port, 2)]
        while answers[-1].status_code == 503 and len(answers) < 50:
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 5
            answers.append(send(port, 2))
        assert answers[-1].status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/api/requests/{2:032x}").status_code == 200


def test_a_server_that_is_killed_or_told_to_stop_leaves_no_process(tmp_path: Path) -> None:
    for number, how in enumerate((signal.SIGKILL, signal.SIGTERM), start=1):
        with serving(tmp_path) as (port, server):
            assert send(port, number).status_code == 200
            children = started_by(server.pid)
            assert children
            server.send_signal(how)
            server.wait(timeout=20)
            assert gone(children)


def test_small_bodies_start_no_process(tmp_path: Path) -> None:
    with serving(tmp_path) as (port, server):
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/traces", content=made(range(1, 9)), headers=PROTOBUF)
        assert answer.status_code == 200
        assert not started_by(server.pid)
