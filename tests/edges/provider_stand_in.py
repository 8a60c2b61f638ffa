"""A stand-in for a model provider: real HTTP on loopback, both documented wires, every documented failure."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "sk-stand-in-0123456789"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What one request meets.

    Attributes:
        kind: "answer" (body as it is), "cut" (half of an answer, then the connection is lost),
            "hang" (nothing at all), "drip" (a byte now and then, without end), "events" (a stream).
        body: JSON value or bytes; for events the data of each.
        hold_s: Waits so long before it answers.
    """

    kind: Literal["answer", "cut", "hang", "drip", "events"] = "answer"
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hold_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came in."""

    at: float
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Provider:
    """The provider: what it was asked, what it answers next, and how many calls it saw at once."""

    root: str = ""
    asked: list[Asked] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    always: Reply | None = None
    models: Any = field(default_factory=lambda: ["m-1", "m-2"])  # names, or a Reply to every listing
    page_size: int = 1000
    listings: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    def then(self, *replies: Reply) -> None:
        """The next requests meet these, in order; later ones `always`, or a good answer."""
        self.replies += replies

    def gaps(self) -> list[float]:
        """Seconds between one request's arrival and the next one's."""
        return [b.at - a.at for a, b in zip(self.asked, self.asked[1:], strict=False)]


def openai_error(status: int, code: str | None, message: str = "no", **more: Any) -> Reply:
    """A refusal as OpenAI writes it."""
    headers = more.pop("headers", {})
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code, **more}
    return Reply(status=status, body={"error": error}, headers={"x-request-id": "req_refused", **headers})


def anthropic_error(status: int, kind: str, message: str = "no", **headers: str) -> Reply:
    """A refusal as Anthropic writes it."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_refused"}
    return Reply(status=status, body=body, headers={"request-id": "req_refused", **headers})


def chat_completion(content: Any = "four", **message: Any) -> dict[str, Any]:
    """An answer as OpenAI writes it, every bucket of its usage filled."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "m-1-2026-08-01",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None, **message},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 7, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0},
        },
    }


def anthropic_message(content: Any = None) -> dict[str, Any]:
    """An answer as Anthropic writes it: cached input is counted apart from the rest."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m-1-20260801",
        "content": [{"type": "text", "text": "four"}] if content is None else content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 100,
            "cache_read_input_tokens": 900,
            "cache_creation_input_tokens": 50,
            "output_tokens": 30,
            "service_tier": "standard",
        },
    }


def chat_chunks(pieces: Sequence[str] = ("fo", "ur"), *, end: bool = True) -> list[str]:
    """The data of OpenAI's stream: a role first, the usage in a last chunk without choices."""
    head = {key: chat_completion()[key] for key in ("id", "created", "model", "system_fingerprint")}
    head["object"] = "chat.completion.chunk"
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
    chunks = [{**head, "choices": [{"index": 0, "delta": d, "finish_reason": None}], "usage": None} for d in deltas]
    if end:
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None})
        chunks.append({**head, "choices": [], "usage": chat_completion()["usage"]})
    data = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
    return [*data, "[DONE]"] if end else data


def message_events(pieces: Sequence[str] = ("fo", "ur"), *, end: bool = True) -> list[str]:
    """The data of Anthropic's stream: input counts at its start, output counts at its end."""
    start = anthropic_message([])
    start |= {"stop_reason": None, "usage": {**start["usage"], "output_tokens": 1}}
    last_usage = {"output_tokens": 30, "input_tokens": None, "cache_read_input_tokens": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p}} for p in pieces),
    ]
    if end:
        events += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last_usage},
            {"type": "message_stop"},
        ]
    return [json.dumps(event, ensure_ascii=False) for event in events]


@contextmanager
def provider_stand_in() -> Iterator[Callable[[], Provider]]:
    """A server until the block ends; the function puts a provider behind it that was never asked."""
    now: list[Provider] = []

    async def chat(request: Request) -> Response:
        return await _call(now[-1], request, _problem_of_chat)

    async def messages(request: Request) -> Response:
        return await _call(now[-1], request, _problem_of_messages)

    async def models(request: Request) -> Response:
        return _models(now[-1], request)

    def anew() -> Provider:
        now.append(Provider(root=f"http://127.0.0.1:{listener.getsockname()[1]}"))
        return now[-1]

    routes = [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/messages", messages, methods=["POST"]),
        Route("/v1/models", models),
    ]
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle on: 40 ms an answer
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.002)
    try:
        yield anew
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


async def _call(provider: Provider, request: Request, problem_of: Any) -> Response:
    body = json.loads(await request.body())
    provider.asked.append(Asked(at=time.monotonic(), body=body, headers=dict(request.headers)))
    provider._at_once += 1
    provider.most_at_once = max(provider.most_at_once, provider._at_once)
    try:
        if (problem := problem_of(request, body)) is not None:
            return _response(problem)
        reply = provider.replies.pop(0) if provider.replies else provider.always or _good(request, body)
        if reply.kind == "hang":
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
        await asyncio.sleep(reply.hold_s)
        return _response(reply)
    finally:
        provider._at_once -= 1


def _good(request: Request, body: dict[str, Any]) -> Reply:
    if request.url.path.endswith("/messages"):
        headers = {"request-id": "req_1"}
        if body.get("stream"):
            return Reply(kind="events", body=message_events(), headers=headers)
        return Reply(body=anthropic_message(), headers=headers)
    headers = {"x-request-id": "req_1"}
    if body.get("stream"):
        return Reply(kind="events", body=chat_chunks(), headers=headers)
    return Reply(body=chat_completion(), headers=headers)


def _response(reply: Reply) -> Response:
    if reply.kind == "events":
        events = ("data: " + data + "\n\n" for data in reply.body)
        return StreamingResponse(events, media_type="text/event-stream", headers=reply.headers)
    if reply.kind == "drip":
        return StreamingResponse(_drip(), media_type="application/json")
    content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    if reply.kind == "cut":
        return _Cut(content)
    return Response(content, reply.status, {"content-type": "application/json", **reply.headers})


async def _drip() -> Any:
    while True:
        yield b" "
        await asyncio.sleep(0.02)


class _Cut(Response):
    """Promises a whole answer, sends half of it and loses the connection."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        length = str(len(self.body) + 1).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})


def _problem_of_chat(request: Request, body: dict[str, Any]) -> Reply | None:
    if request.headers.get("authorization") != f"Bearer {KEY}":
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        return openai_error(401, "invalid_api_key", f"Incorrect API key provided: {sent}.")
    roles = {"developer", "system", "user", "assistant", "tool"}
    if not isinstance(body.get("model"), str) or not _are_messages(body.get("messages"), roles):
        return openai_error(400, None, "the request is of an unknown shape")
    if body.get("stream_options") is not None and not body.get("stream"):
        return openai_error(400, None, "stream_options is only allowed when stream is set", param="stream_options")
    return None


def _problem_of_messages(request: Request, body: dict[str, Any]) -> Reply | None:
    if request.headers.get("x-api-key") != KEY:
        return anthropic_error(401, "authentication_error", f"invalid x-api-key {request.headers.get('x-api-key')}")
    if request.headers.get("anthropic-version") != "2023-06-01":
        return anthropic_error(400, "invalid_request_error", "anthropic-version: header is required")
    if not isinstance(body.get("max_tokens"), int):
        return anthropic_error(400, "invalid_request_error", "max_tokens: Field required")
    if not isinstance(body.get("model"), str) or not _are_messages(body.get("messages"), {"user", "assistant"}):
        return anthropic_error(400, "invalid_request_error", "messages: Unexpected role or shape")
    return None


def _are_messages(messages: Any, roles: set[str]) -> bool:
    return isinstance(messages, list) and bool(messages) and all(m.get("role") in roles for m in messages)


def _models(provider: Provider, request: Request) -> Response:
    provider.listings.append(request.url.query)
    if isinstance(provider.models, Reply):
        return _response(provider.models)
    if "x-api-key" not in request.headers:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _response(openai_error(401, "invalid_api_key", "Incorrect API key provided"))
        rows = [{"id": m, "object": "model", "created": 1_790_000_000, "owned_by": "us"} for m in provider.models]
        return JSONResponse({"object": "list", "data": rows})
    if (
        problem := _problem_of_messages(request, {"max_tokens": 1, "model": "", "messages": [{"role": "user"}]})
    ) is not None:
        return _response(problem)
    after = request.query_params.get("after_id")
    start = provider.models.index(after) + 1 if after else 0
    page = provider.models[start : start + min(provider.page_size, int(request.query_params.get("limit", 20)))]
    data = [{"id": m, "type": "model", "display_name": m, "created_at": "2026-08-01T00:00:00Z"} for m in page]
    more = start + len(page) < len(provider.models)
    ends = {"first_id": page[0] if page else None, "last_id": page[-1] if page else None}
    return JSONResponse({"data": data, "has_more": more, **ends})
