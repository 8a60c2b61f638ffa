"""What the SDK adds to each request with one model call, beside OpenTelemetry's own SDK and Langfuse's decorator.

All write two spans with the same content (2 kB prompt, 1 kB answer), each in a process of its own, in turn and
several rounds, paced at about 1,000 requests a second, against a server that answers, one that refuses connections
and one that takes a request and never answers. Then 20,000 in a tight loop: how many reach the server; and how long the
process takes to end (null: longer than exit_limit_s, it was killed then). The value is p50 of ours less p50 of
OpenTelemetry's batch processor with its OTLP exporter. Langfuse's row is there when Langfuse is installed.

    .venv/bin/python benchmarks/sdk_overhead.py [--requests 1500] [--rounds 3] [--loop 20000]
"""

import argparse
import gzip
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GOAL_US = 30
BACKENDS = ("live", "dead", "hanging")
PEERS = ("opentelemetry", "langfuse")
EXIT_LIMIT_S = 10
"""How long the end of a process is waited for: OpenTelemetry's takes half a minute with a dead server."""
PROMPT, ANSWER = "Where is my order? " * 105, "It left on Monday. " * 53
MESSAGES = [{"role": "user", "content": PROMPT}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", type=int, default=20_000)
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", default="", help=argparse.SUPPRESS)
    parser.add_argument("--pace", type=float, default=0.001, help=argparse.SUPPRESS)
    parser.add_argument("--hang", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "serve":
        serve(given.hang)
    elif given.role:
        traffic(given.role, given.endpoint, given.requests, given.pace)
    else:
        print(json.dumps(compared(given.requests, given.rounds, given.loop)))


def compared(requests: int, rounds: int, loop: int) -> dict[str, Any]:
    missing = {peer: why for peer in PEERS if (why := not_importable(peer))}
    roles = ("watchkeeper", *(peer for peer in PEERS if peer not in missing))
    details: dict[str, Any] = {"requests": requests, "rounds": rounds, "cores": os.cpu_count()}
    details |= {"exit_limit_s": EXIT_LIMIT_S, "not_measured": missing}
    paced: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with server(hang=False) as live, server(hang=True) as hanging:
        endpoints = {"live": live, "dead": f"http://127.0.0.1:{unused_port()}", "hanging": hanging}
        for _ in range(rounds):
            for backend in BACKENDS:
                for role in roles:
                    run = traffic_in_a_process(role, endpoints[backend], requests, pace=0.001)
                    paced.setdefault((role, backend), []).append(run)
    for (role, backend), runs in paced.items():
        details[f"{role}_{backend}"] = {
            name: middle([run[name] for run in runs]) for name in ("p50_us", "p99_us", "max_us", "exit_s")
        }
    for role in roles:
        with server(hang=False) as live:
            run = traffic_in_a_process(role, live, loop, pace=0.0)
            details[f"{role}_loop"] = {
                "calls": loop,
                "arrived": arrived(live),
                "us_each": round(run["mean_us"], 1),
                "p99_us": round(run["p99_us"], 1),
                "peak_mb": run["peak_mb"],
                "exit_s": run["exit_s"] and round(run["exit_s"], 2),
            }
    value = details["watchkeeper_live"]["p50_us"] - details["opentelemetry_live"]["p50_us"]
    return {
        "benchmark": "sdk_overhead",
        "value": round(value, 1),
        "unit": "µs",
        "goal": GOAL_US,
        "better": "lower",
        "details": details,
    }


def not_importable(peer: str) -> str | None:
    """Why a peer cannot be measured, or None."""
    done = subprocess.run([sys.executable, "-c", f"import {peer}"], capture_output=True, text=True)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it cannot be imported"])[-1]


def middle(values: list[float | None]) -> float | None:
    """The median; an exit that was cut off counts as the longest, and is None."""
    found = statistics.median_high(float("inf") if value is None else value for value in values)
    return None if found == float("inf") else round(found, 3)


def traffic_in_a_process(role: str, endpoint: str, requests: int, *, pace: float) -> dict[str, Any]:
    """What the process measured, and `exit_s`: from its last request to its end, None when it was cut off."""
    with tempfile.TemporaryDirectory() as spool:
        environment = {**os.environ, "WATCHKEEPER_SPOOL": spool}
        command = [sys.executable, __file__, "--role", role, "--endpoint", endpoint]
        command += ["--requests", str(requests), "--pace", str(pace)]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        measured: dict[str, Any] = json.loads(process.stdout.readline())
        done = time.monotonic()
        try:
            process.wait(timeout=EXIT_LIMIT_S)
            measured["exit_s"] = time.monotonic() - done
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            measured["exit_s"] = None
    return measured


def traffic(role: str, endpoint: str, requests: int, pace: float) -> None:
    ways = {"watchkeeper": with_watchkeeper, "opentelemetry": with_opentelemetry, "langfuse": with_langfuse}
    one = ways[role](endpoint)
    for _ in range(100):
        one()
    taken = []
    for _ in range(requests - 100):
        started = time.perf_counter_ns()
        one()
        taken.append((time.perf_counter_ns() - started) / 1000)
        if pace:
            time.sleep(pace)
    taken.sort()
    status = Path("/proc/self/status")
    peak = next((int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")), 0)
    figures = {
        "p50_us": taken[len(taken) // 2],
        "p99_us": taken[len(taken) * 99 // 100],
        "max_us": taken[-1],
        "mean_us": sum(taken) / len(taken),
        "peak_mb": peak // 1024,
    }
    print(json.dumps(figures), flush=True)


def with_watchkeeper(endpoint: str) -> Callable[[], None]:
    import watchkeeper

    watchkeeper.init(endpoint=endpoint, service="benchmark")

    def one() -> None:
        with watchkeeper.request(route="support.answer", segment="free", session_id="s-1", input=PROMPT) as request:
            with request.call("gpt-5", provider="openai", messages=MESSAGES, params={"temperature": 0.2}) as call:
                call.finish(ANSWER, model_served="gpt-5-1", usage={"input": 912, "output": 210}, finish_reason="stop")
            request.respond(ANSWER)

    return one


def with_opentelemetry(endpoint: str) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    tracer = provider.get_tracer("benchmark")

    def one() -> None:
        at_once = {
            "watchkeeper.kind": "request",
            "watchkeeper.source": "production",
            "watchkeeper.route": "support.answer",
            "watchkeeper.segment": "free",
            "session.id": "s-1",
            "watchkeeper.input": PROMPT,
        }
        with tracer.start_as_current_span("request support.answer", attributes=at_once) as request:
            asked = [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]
            at_once = {
                "watchkeeper.kind": "call",
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-5",
                "gen_ai.request.temperature": 0.2,
                "gen_ai.input.messages": json.dumps(asked),
            }
            with tracer.start_as_current_span("chat gpt-5", kind=SpanKind.CLIENT, attributes=at_once) as call:
                said = [
                    {
                        "role": "assistant",
                        "parts": [{"type": "text", "content": ANSWER}],
                        "finish_reason": "stop",
                    }
                ]
                call.set_attributes(
                    {
                        "gen_ai.response.model": "gpt-5-1",
                        "gen_ai.usage.input_tokens": 912,
                        "gen_ai.usage.output_tokens": 210,
                        "gen_ai.output.messages": json.dumps(said),
                        "gen_ai.response.finish_reasons": ["stop"],
                    }
                )
            request.set_attribute("watchkeeper.response", ANSWER)

    return one


def with_langfuse(endpoint: str) -> Callable[[], None]:
    from langfuse import Langfuse, observe

    client = Langfuse(public_key="pk-benchmark", secret_key="sk-benchmark", base_url=endpoint)

    @observe(name="chat gpt-5", as_type="generation")
    def call(messages: list[dict[str, str]]) -> str:
        client.update_current_generation(
            model="gpt-5-1", model_parameters={"temperature": 0.2}, usage_details={"input": 912, "output": 210}
        )
        return ANSWER

    @observe(name="request support.answer")
    def request(question: str) -> str:
        return call(MESSAGES)

    def one() -> None:
        request(PROMPT)

    return one


@contextmanager
def server(*, hang: bool) -> Iterator[str]:
    command = [sys.executable, __file__, "--role", "serve", *(["--hang"] if hang else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def serve(hang: bool) -> None:
    """Takes OTLP and counts the distinct spans of calls; or takes a request and never answers."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    calls: set[bytes] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if hang:
                threading.Event().wait()
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in group.scope_spans:
                    calls.update(span.span_id for span in scope.spans if span.name.startswith("chat"))
            self.answer(b"")

        def do_GET(self) -> None:
            self.answer(str(len(calls)).encode())

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    print(f"http://127.0.0.1:{listening.server_address[1]}", flush=True)
    listening.serve_forever()


def arrived(endpoint: str) -> int:
    """Distinct calls the server has got; what is still in a queue has had its time at the sender's exit."""
    with urllib.request.urlopen(endpoint, timeout=10) as answer:
        return int(answer.read())


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
