"""What a source's API may answer with: half an emoji, nesting without end, a page instead of JSON."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from watchkeeper.sources.http import Api, NotJson


@contextmanager
def answering(content: bytes) -> Iterator[Api]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api = Api(name="desk", base_url=f"http://127.0.0.1:{server.server_port}", headers={})
    try:
        yield api
    finally:
        api.close()
        server.shutdown()
        server.server_close()


def test_a_text_cut_in_the_middle_of_an_emoji_costs_nothing() -> None:
    with answering(b'{"output": "fine \\ud83d"}') as api:
        assert api.get("/runs") == {"output": "fine \ud83d"}


def test_a_line_cut_in_the_middle_of_an_emoji_is_a_line() -> None:
    with answering(b'{"n": 1}\n{"output": "\\ud83d"}\n\nnothing\n') as api:
        assert list(api.lines("/calls", {})) == [{"n": 1}, {"output": "\ud83d"}, None]


@pytest.mark.parametrize("content", [b"<html>please log in</html>", b"[" * 200_000])
def test_what_is_no_json_is_said_in_one_line(content: bytes) -> None:
    with answering(content) as api, pytest.raises(NotJson, match=r"\Adesk: the answer is not JSON"):
        api.get("/runs")
