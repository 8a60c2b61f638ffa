"""A server that answers as Phoenix documents it: cursor pages, annotations, refusals in the order a test wants them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def span(number: int, at: datetime, **changes: Any) -> dict[str, Any]:
    """One span as `GET /v1/projects/{project}/spans` gives it: a request of its own."""
    return {
        "id": f"U3Bhb{number}",
        "name": "answer",
        "context": {"trace_id": f"{number:032x}", "span_id": f"{number:016x}"},
        "span_kind": "CHAIN",
        "parent_id": None,
        "start_time": at.isoformat(),
        "end_time": at.isoformat(),
        "status_code": "OK",
        "status_message": "",
        "attributes": {"input.value": "When does it come?"},
        "events": [],
    } | changes


@dataclass
class Phoenix:
    """What the server holds and what it was asked.

    Attributes:
        refusals: (status, headers, body) of the next answers, before any good one.
        page: Items of one page.
    """

    url: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    page: int = 2
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, list[str]], body: Any) -> Any:
        if path == "/v1/span_annotations":
            for new in body["data"]:
                key = (new["span_id"], new["name"], new["identifier"])
                self.annotations = [a for a in self.annotations if (a["span_id"], a["name"], a["identifier"]) != key]
                self.annotations.append({**new, "updated_at": "2026-11-24T10:00:00+00:00"})
            return {"data": []}
        if path.endswith("/span_annotations"):
            return self._paged([a for a in self.annotations if a["span_id"] in query["span_ids"]], query)
        since, until = (datetime.fromisoformat(query[name][0]) for name in ("start_time", "end_time"))
        inside = [s for s in self.spans if since <= datetime.fromisoformat(s["start_time"]) < until]
        return self._paged(inside, query)

    def _paged(self, items: list[dict[str, Any]], query: dict[str, list[str]]) -> Any:
        start = int(query.get("cursor", ["0"])[0])
        end = start + self.page
        return {"data": items[start:end], "next_cursor": str(end) if end < len(items) else None}


@contextmanager
def phoenix_stand_in() -> Iterator[Phoenix]:
    """The server on a free loopback port, until the block ends."""
    phoenix = Phoenix()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, body: Any) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            phoenix.asked.append((parts.path, query, {k.lower(): v for k, v in self.headers.items()}))
            status, headers, text = 200, dict[str, str](), ""
            if phoenix.refusals:
                status, headers, text = phoenix.refusals.pop(0)
            else:
                text = json.dumps(phoenix.answer(parts.path, query, body))
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(text.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    phoenix.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield phoenix
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
