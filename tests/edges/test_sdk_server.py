"""A small watchkeeper server in a process of its own: it takes spans and opinions and tells what it got.

    python test_sdk_server.py [--port N] [--file F]

`--file` outlives the process, so that a server that is killed and started again still knows what it
acknowledged. `POST /mode` sets the behaviour: ok, hang, slow, or a status such as "503 retry-after=1".
"""

import argparse
import gzip
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Taken:
    """What was acknowledged, as lines in a file."""

    def __init__(self, file: Path | None) -> None:
        self.lock, self.mode = threading.Lock(), "ok"
        self.spans: dict[str, dict[str, Any]] = {}
        self.times: Counter[str] = Counter()
        self.opinions: list[dict[str, Any]] = []
        self.answers: list[tuple[float, int]] = []
        self.file = file
        for line in file.read_text().splitlines() if file is not None and file.exists() else ():
            self.note(json.loads(line))

    def note(self, entry: dict[str, Any]) -> None:
        if "span_id" in entry:
            self.spans[entry["span_id"]] = entry
            self.times[entry["span_id"]] += 1
        else:
            self.opinions.append(entry)

    def keep(self, entries: list[dict[str, Any]]) -> None:
        with self.lock:
            for entry in entries:
                self.note(entry)
            if self.file is not None:
                with self.file.open("a") as file:
                    file.writelines(json.dumps(entry) + "\n" for entry in entries)


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


def entries_of(body: bytes) -> list[dict[str, Any]]:
    found = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {a.key: value_of(a.value) for a in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                found.append(
                    {
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "name": span.name,
                        "links": [link.trace_id.hex() for link in span.links],
                        "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                        "error": span.status.code == 2,
                        "attributes": {a.key: value_of(a.value) for a in span.attributes},
                        "resource": resource,
                    }
                )
    return found


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that was killed is nothing to print."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    taken: Taken

    def do_GET(self) -> None:
        t = self.taken
        with t.lock:
            if self.path == "/count":
                double = sum(1 for n in t.times.values() if n > 1)
                body: Any = {"spans": len(t.spans), "double": double, "opinions": len(t.opinions), "answers": t.answers}
            else:
                body = {"spans": list(t.spans.values()), "opinions": t.opinions}
        self.answer(200, json.dumps(body).encode())

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the sender was killed
            return None
        t = self.taken
        if self.path == "/mode":
            t.mode = body.decode()
            return self.answer(200, b"")
        mode, *more = t.mode.split()
        if mode == "hang":
            while t.mode == "hang":
                time.sleep(0.05)
            mode = "ok"
        if mode == "slow":
            time.sleep(0.3)
        if mode.isdigit():
            headers = dict(m.split("=") for m in more)
            t.answers.append((time.time(), int(mode)))
            if headers.pop("times", None):
                t.mode = "ok"
            return self.answer(int(mode), b"{}", headers)
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            t.keep(entries_of(body))
        else:
            t.keep([{"path": self.path, **json.loads(body)}])
        t.answers.append((time.time(), 200))
        return self.answer(200, b"")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    Handler.taken = Taken(given.file)
    server = Listener(("127.0.0.1", given.port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
