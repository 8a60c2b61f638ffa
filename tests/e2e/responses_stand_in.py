"""A provider that speaks OpenAI's Responses API: what it is asked decides what it answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
WORDS = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "It left on Monday.", "annotations": []}],
}
TOOL_CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "lookup_order",
    "arguments": '{"id": 17}',
    "status": "completed",
}
ANSWERS: dict[str, dict[str, Any]] = {
    "words": {"output": [REASONING, WORDS]},
    "tool": {"output": [REASONING, TOOL_CALL]},
    "words and tool": {"output": [REASONING, WORDS, TOOL_CALL]},
    "too long": {
        "output": [REASONING, WORDS],
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
    },
}


def answer_to(asked: dict[str, Any]) -> dict[str, Any]:
    """The whole answer: output items in order, reasoning first, every bucket of its usage filled."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": f"{asked['model']}-2026-08-01",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
        "error": None,
        "incomplete_details": None,
        "usage": {
            "input_tokens": 40,
            "input_tokens_details": {"cached_tokens": 32, "cache_write_tokens": 0},
            "output_tokens": 12,
            "output_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 52,
        },
        **ANSWERS[asked["input"]],
    }


def events_of(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same as a stream, its text in two pieces."""
    place = {"item_id": "msg_1", "output_index": 1, "content_index": 0, "logprobs": []}
    text = WORDS["content"][0]["text"]  # type: ignore[index]
    yield {"type": "response.created", "response": {**answer, "status": "in_progress", "output": [], "usage": None}}
    yield {"type": "response.output_item.added", "output_index": 1, "item": {**WORDS, "content": []}}
    yield {"type": "response.output_text.delta", "delta": text[:8], **place}
    yield {"type": "response.output_text.delta", "delta": text[8:], **place}
    yield {"type": "response.output_text.done", "text": text, **place}
    yield {"type": "response.completed", "response": answer}


@contextmanager
def responses_stand_in() -> Iterator[str]:
    """A server until the block ends; its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = answer_to(asked)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
            self.end_headers()
            if not asked.get("stream"):
                self.wfile.write(json.dumps(answer).encode())
                return
            for number, event in enumerate(events_of(answer)):
                data = json.dumps({**event, "sequence_number": number})
                self.wfile.write(f"event: {event['type']}\ndata: {data}\n\n".encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
