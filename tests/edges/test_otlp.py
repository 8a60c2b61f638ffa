"""The OTLP receiver over real HTTP: the exporter people have, every refusal, and a server that is killed."""

import gzip
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

CAPTURED = Path(__file__).parents[1] / "pure" / "observability" / "captured"
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@contextmanager
def serving(root: Path) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    (root / "watchkeeper.toml").write_text("")
    command = [sys.executable, "-m", "watchkeeper", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        yield int(line.rpartition(":")[2]), process
    finally:
        process.terminate()
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[httpx.Client]:
    with serving(tmp_path) as (port, _):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield client


def made(numbers: range, *, extra: int = 0) -> bytes:
    """A request of one span a trace, the ids given by the numbers."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in numbers:
        span = scope.spans.add(name="chat m", trace_id=number.to_bytes(16), span_id=number.to_bytes(8))
        span.start_time_unix_nano, span.end_time_unix_nano = 10**18 + number, 10**18 + number + 10**6
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = number
        span.attributes.add(key="watchkeeper.input").value.string_value = f"question {number} " + "x" * extra
    return request.SerializeToString()


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_sdks_own_exporter_needs_no_setting_but_the_address(served: httpx.Client, compression: Compression) -> None:
    exporter = OTLPSpanExporter(endpoint=f"{served.base_url}/v1/traces", compression=compression)
    provider = TracerProvider(resource=Resource({"deployment.environment.name": "test"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("answer", attributes={"http.route": "/answer"}) as root:
        sent = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "naïve 😀"}]}])
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": sent}
        with tracer.start_as_current_span("chat m", attributes=attributes):
            pass
    assert provider.force_flush()
    provider.shutdown()
    found = served.get(f"/api/requests/{root.get_span_context().trace_id:032x}").json()
    assert (found["route"], found["environment"], found["input"]) == ("/answer", "test", "naïve 😀")
    assert [call["model_requested"] for call in found["calls"]] == ["m"]


@pytest.mark.parametrize("dialect", ["genai", "oi", "lf", "trl", "lgf", "pai"])
def test_what_was_captured_is_stored_from_json_and_protobuf_alike(served: httpx.Client, dialect: str) -> None:
    body = (CAPTURED / f"{dialect}.otlp.json").read_bytes()
    answer = served.post("/v1/traces", content=body, headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {})
    trace = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]
    found = served.get(f"/api/requests/{trace}").json()
    assert found["calls"][0]["usage"]["input"] == 120
    packed = gzip.compress((CAPTURED / f"{dialect}.otlp.pb").read_bytes())
    answer = served.post("/v1/traces", content=packed, headers=PROTOBUF | {"content-encoding": "gzip"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert served.get(f"/api/requests/{trace}").json() == found


def test_a_span_without_ids_or_times_is_rejected_and_the_others_taken(served: httpx.Client) -> None:
    request = ExportTraceServiceRequest.FromString(made(range(1, 4)))
    request.resource_spans[0].scope_spans[0].spans[0].span_id = b"short"
    request.resource_spans[0].scope_spans[0].spans[1].end_time_unix_nano = 0
    answer = served.post("/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 2
    assert partial.error_message == "rejected: 1 for their span id, 1 for their time"
    assert served.get(f"/api/requests/{3:032x}").status_code == 200


def test_a_log_record_adds_what_its_span_left_out(served: httpx.Client) -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    details = records.add(event_name="gen_ai.client.inference.operation.details", time_unix_nano=10**18)
    details.trace_id, details.span_id = (1).to_bytes(16), (1).to_bytes(8)
    out = '[{"role":"assistant","parts":[{"type":"text","content":"from the log"}]}]'
    details.attributes.add(key="gen_ai.output.messages").value.string_value = out
    records.add(event_name="other")
    assert served.post("/v1/logs", content=request.SerializeToString(), headers=PROTOBUF).status_code == 200
    assert served.get(f"/api/requests/{1:032x}").status_code == 404
    assert served.post("/v1/traces", content=made(range(1, 2)), headers=PROTOBUF).status_code == 200
    assert served.get(f"/api/requests/{1:032x}").json()["response"] == "from the log"


BOMB = gzip.compress(b"\0" * (65 * 2**20))
REFUSED: list[tuple[str, bytes, dict[str, str], int]] = [
    ("another type", b"{}", {"content-type": "text/plain"}, 415),
    ("another packing", b"{}", JSON | {"content-encoding": "br"}, 415),
    ("truncated protobuf", made(range(1, 9))[:-7], PROTOBUF, 400),
    ("invalid UTF-8", made(range(1, 2)).replace(b"question", b"\xffuestion"), PROTOBUF, 400),
    ("no JSON", b"{broken", JSON, 400),
    ("a JSON list", b"[]", JSON, 400),
    ("another shape", b'{"resourceSpans": 7}', JSON, 400),
    ("deep JSON", b'{"resourceSpans":' + b"[" * 100_000, JSON, 400),
    ("a JSON bomb", b"[" + b"{}," * 5_000_000 + b"{}]", JSON, 400),
    ("no gzip", b"plain", PROTOBUF | {"content-encoding": "gzip"}, 400),
    ("truncated gzip", gzip.compress(made(range(1, 50)))[:-20], PROTOBUF | {"content-encoding": "gzip"}, 400),
    ("a gzip bomb", BOMB, PROTOBUF | {"content-encoding": "gzip"}, 413),
    ("64 MiB and one", b" " * (64 * 2**20 + 1), JSON, 413),
]


@pytest.mark.parametrize(("body", "headers", "code"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_what_cannot_be_read_is_refused_for_good(
    served: httpx.Client, body: bytes, headers: dict[str, str], code: int
) -> None:
    answer = served.post("/v1/traces", content=body, headers=headers)
    assert answer.status_code == code
    if headers["content-type"] == "application/x-protobuf":
        assert answer.content[:1] == b"\x12"  # google.rpc.Status.message
    else:
        assert set(answer.json()) == {"message"}
    assert served.post("/v1/traces", content=b"{}", headers=JSON).status_code == 200


def test_a_prompt_of_ten_megabytes_is_taken(served: httpx.Client) -> None:
    assert served.post("/v1/traces", content=made(range(1, 2), extra=10_000_000), headers=PROTOBUF).status_code == 200
    assert len(served.get(f"/api/requests/{1:032x}").json()["input"]) > 10_000_000


def test_a_busy_store_is_503_with_a_wait_an_exporter_accepts(served: httpx.Client, tmp_path: Path) -> None:
    assert served.post("/v1/traces", content=made(range(1, 2)), headers=PROTOBUF).status_code == 200
    other = sqlite3.connect(tmp_path / "watchkeeper.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    answer = served.post("/v1/traces", content=made(range(2, 3)), headers=PROTOBUF)
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert time.monotonic() - began < 10
    other.execute("ROLLBACK")
    other.close()
    assert served.post("/v1/traces", content=made(range(2, 3)), headers=PROTOBUF).status_code == 200


@pytest.mark.parametrize("rounds", [4, pytest.param(20, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])])
def test_a_killed_server_has_what_it_acknowledged_and_nothing_twice(tmp_path: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    acknowledged: set[int] = set()
    number = 1
    for _ in range(rounds):
        with serving(tmp_path) as (port, process):
            threads = []
            for _ in range(3):
                args = (port, range(number, number + 100_000), acknowledged)
                threads.append(threading.Thread(target=_send_until_dead, args=args))
                number += 100_000
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.3, 1.2))
            os.kill(process.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
    assert acknowledged
    with sqlite3.connect(tmp_path / "watchkeeper.db") as store:
        stored = [int(row[0], 16) for row in store.execute("SELECT trace_id FROM requests")]
        calls = [int(row[0], 16) for row in store.execute("SELECT trace_id FROM calls")]
    store.close()
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))
    assert sorted(calls) == sorted(stored)


def _send_until_dead(port: int, numbers: range, acknowledged: set[int]) -> None:
    """Every batch twice, as an exporter does that did not hear the first answer; every other one is large."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for start in range(numbers.start, numbers.stop, 40):
        batch = range(start, start + 40)
        try:
            for _ in range(2):
                connection.request("POST", "/v1/traces", made(batch, extra=start // 40 % 2 * 1000), PROTOBUF)
                answer: Any = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    acknowledged.update(batch)
        except (OSError, http.client.HTTPException):
            return
