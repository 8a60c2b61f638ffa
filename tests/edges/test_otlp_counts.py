"""What the receiver drops, mends and refuses is counted where others can read it, and outlives the process."""

import gzip
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.edges.test_otlp import CAPTURED, JSON, PROTOBUF, made, serving
from watchkeeper.database.engine import open_store
from watchkeeper.observability import service

NOW = datetime.now(UTC)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[httpx.Client]:
    with serving(tmp_path) as (port, _):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield client


def counted(root: Path, since: datetime = NOW) -> dict[str, int]:
    store = open_store(f"sqlite:///{root}/watchkeeper.db")
    try:
        return service.intake_counts(store, since)
    finally:
        store.close()


def counted_soon(root: Path, name: str) -> int | None:
    """Refused bodies are written within a second."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if (found := counted(root).get(name)) is not None:
            return found
        time.sleep(0.05)
    return None


def one_span(change: Callable[[Any], None]) -> bytes:
    request = ExportTraceServiceRequest.FromString(made(range(1, 2)))
    change(request.resource_spans[0].scope_spans[0].spans[0])
    return request.SerializeToString()


def no_trace_id(span: Any) -> None:
    span.trace_id = b"short"


def ends_before_it_starts(span: Any) -> None:
    span.end_time_unix_nano = span.start_time_unix_nano - 1


def starts(ahead: timedelta) -> Callable[[Any], None]:
    def change(span: Any) -> None:
        span.start_time_unix_nano = int((datetime.now(UTC) + ahead).timestamp()) * 10**9
        span.end_time_unix_nano = span.start_time_unix_nano + 10**6

    return change


def tokens_in_words(span: Any) -> None:
    span.attributes.add(key="gen_ai.usage.output_tokens").value.string_value = "many"


@pytest.mark.parametrize(
    ("change", "name", "taken"),
    [
        (tokens_in_words, "attribute", True),
        (no_trace_id, "rejected: trace id", False),
        (ends_before_it_starts, "duration below zero", True),
        (starts(timedelta(minutes=10)), "clock in the future", True),
    ],
)
def test_what_is_wrong_with_a_span_is_counted_with_it(
    served: httpx.Client, tmp_path: Path, change: Callable[[Any], None], name: str, taken: bool
) -> None:
    for _ in range(2):
        assert served.post("/v1/traces", content=one_span(change), headers=PROTOBUF).status_code == 200
    assert counted(tmp_path) == {name: 2}
    assert (served.get(f"/api/requests/{1:032x}").status_code == 200) is taken


def test_a_clock_a_little_ahead_and_a_prompt_of_ten_megabytes_are_nothing_to_count(
    served: httpx.Client, tmp_path: Path
) -> None:
    ahead = one_span(starts(timedelta(minutes=4)))
    assert served.post("/v1/traces", content=ahead, headers=PROTOBUF).status_code == 200
    large = made(range(2, 3), extra=10_000_000)
    assert served.post("/v1/traces", content=large, headers=PROTOBUF).status_code == 200
    assert counted(tmp_path) == {}


def test_a_negative_duration_is_taken_as_none(served: httpx.Client) -> None:
    served.post("/v1/traces", content=one_span(ends_before_it_starts), headers=PROTOBUF)
    assert served.get(f"/api/requests/{1:032x}").json()["latency_ms"] == 0.0


@pytest.mark.parametrize(
    ("body", "headers", "code", "name"),
    [
        (b"{}", {"content-type": "text/plain"}, 415, "refused: media type"),
        (b"{}", JSON | {"content-encoding": "br"}, 415, "refused: content encoding"),
        (b"{broken", JSON, 400, "refused: unreadable"),
        (made(range(1, 2)).replace(b"question", b"\xffuestion"), PROTOBUF, 400, "refused: unreadable"),
        (gzip.compress(bytes(65 * 2**20)), PROTOBUF | {"content-encoding": "gzip"}, 413, "refused: too large"),
    ],
    ids=["media type", "content encoding", "no JSON", "invalid UTF-8", "too large"],
)
def test_a_refused_body_is_counted_by_its_reason(
    served: httpx.Client, tmp_path: Path, body: bytes, headers: dict[str, str], code: int, name: str
) -> None:
    assert served.post("/v1/traces", content=body, headers=headers).status_code == code
    assert counted_soon(tmp_path, name) == 1


def test_what_was_refused_just_before_the_end_is_counted(tmp_path: Path) -> None:
    with serving(tmp_path) as (port, _):
        assert httpx.post(f"http://127.0.0.1:{port}/v1/traces", content=b"{", headers=JSON).status_code == 400
    assert counted(tmp_path) == {"refused: unreadable": 1}
    assert counted(tmp_path, NOW + timedelta(days=2)) == {}


def test_a_full_queue_is_503_with_a_wait_an_exporter_accepts(served: httpx.Client, tmp_path: Path) -> None:
    address = (served.base_url.host, served.base_url.port or 0)
    size = 64 * 2**20 - 1
    head = f"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    slow = [socket.create_connection(address) for _ in range(2)]
    try:
        for each in slow:  # all but the last byte of two of the largest bodies
            each.sendall(head.encode() + bytes(size - 1))
        assert 1 <= _wait_of_the_refused(served, slow) <= 5
    finally:
        for each in slow:
            each.close()
    assert counted_soon(tmp_path, "refused: queue full") is not None
    assert counted_soon(tmp_path, "refused: cut short") is not None
    assert served.post("/v1/traces", content=SMALL, headers=JSON).status_code == 200


SMALL = b"{}" + b" " * 1000


def _wait_of_the_refused(served: httpx.Client, slow: list[socket.socket]) -> int:
    """Retry-After of the small body that has no room; or of a large one whose last bytes had none because of it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = served.post("/v1/traces", content=SMALL, headers=JSON)
        if answer.status_code == 503:
            return int(answer.headers["retry-after"])
        for each in select.select(slow, [], [], 0.05)[0]:
            status, *lines = each.recv(10_000).decode("latin-1").split("\r\n")
            assert " 503 " in status
            return next(int(line.split(":")[1]) for line in lines if line.lower().startswith("retry-after"))
    raise AssertionError("nothing was refused")


def _mutated(rng: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0:
                changed[at : at + 1] = rng.randbytes(1)
            case 1:
                del changed[at : at + rng.randrange(1, 40)]
            case 2:
                changed[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 3:
                changed[at:at] = changed[at : at + rng.randrange(1, 200)]
    return bytes(changed)


def test_whatever_is_sent_is_taken_or_refused_and_the_server_goes_on(served: httpx.Client) -> None:
    rng = random.Random(20261124)
    bodies = [(path.read_bytes(), JSON if path.suffix == ".json" else PROTOBUF) for path in sorted(CAPTURED.iterdir())]
    for number in range(400):
        body, headers = rng.choice(bodies)
        if rng.random() < 0.3:  # damaged inside, or the packing itself
            inside = rng.random() < 0.5
            body = gzip.compress(_mutated(rng, body)) if inside else _mutated(rng, gzip.compress(body))
            headers = headers | {"content-encoding": "gzip"}
        else:
            body = _mutated(rng, body)
        path = rng.choice(("/v1/traces", "/v1/traces", "/v1/logs"))
        answer = served.post(path, content=body, headers=headers)
        assert answer.status_code in (200, 400), (number, answer.status_code, answer.content)
    assert served.get("/healthz").status_code == 200
