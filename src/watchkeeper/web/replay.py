"""Recorded answers behind an OpenAI-compatible API, with the faults real providers have."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.providers.recorded import Faults, Recording, Recordings, read_recordings
from watchkeeper.providers.values import mapping

Latency = Callable[[Recording], float]
"""Milliseconds to wait before an answer."""


class FileRecordings:
    """The recordings of files, read again when a file changed: so a model can appear while we serve.

    A file that cannot be read any more leaves the last good reading in place.

    Raises:
        Misconfigured: If the first reading fails.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._seen = self._stamps()
        self._recordings = read_recordings(files)

    def __call__(self) -> Recordings:
        if (stamps := self._stamps()) != self._seen:
            try:
                self._recordings = read_recordings(self._files).after(self._recordings)
                self._seen = stamps
            except Misconfigured:
                pass  # half written: read again at the next request
        return self._recordings

    def _stamps(self) -> list[tuple[int, int]]:
        return [(s.st_mtime_ns, s.st_size) if (s := _stat(path)) else (0, 0) for path in self._files]


def _stat(path: Path) -> Any:
    try:
        return path.stat()
    except OSError:
        return None


def latency_of(written: str) -> Latency:
    """How long to wait: "recorded", "none", or a number of milliseconds.

    Raises:
        Misconfigured: If it is none of them.
    """
    if written == "none":
        return lambda recording: 0.0
    if written == "recorded":
        return lambda recording: recording.latency_ms or 0.0
    try:
        fixed = float(written)
    except ValueError:
        fixed = -1.0
    if not 0 <= fixed <= 3_600_000:
        raise Misconfigured(f"--latency {written}: write recorded, none, or milliseconds")
    return lambda recording: fixed


def replay_app(recordings: Callable[[], Recordings], *, latency: Latency, faults: Faults) -> Starlette:
    """The server: POST /v1/chat/completions, GET /v1/models, GET /v1/models/{id}."""

    async def models(_: Request) -> Response:
        return _json({"object": "list", "data": [_model(name) for name in recordings().models]})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        return _json(_model(name)) if name in recordings().models else _unknown_model(name)

    async def complete(request: Request) -> Response:
        body = await request.body()
        if (fault := faults.draw()) is not None:
            return await _fail(request, fault)
        try:
            asked = json.loads(body)
            name, messages, stream = asked["model"], asked["messages"], bool(asked.get("stream"))
            if not isinstance(name, str) or not messages or not all(isinstance(m, dict) for m in messages):
                raise TypeError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return _error(400, "the body must be a JSON object with a model and a list of messages", "invalid_request")
        found = recordings()
        if name not in found.models:
            return _unknown_model(name)
        recording = found.find(name, messages)
        if recording is None:
            message = f"nothing is recorded for this prompt on {name}; answers are replayed, never made up"
            return _error(404, message, "recording_not_found")
        await asyncio.sleep(latency(recording) / 1000)
        if stream:
            usage = bool(mapping(asked.get("stream_options")).get("include_usage"))
            return StreamingResponse(_events(recording, usage), media_type="text/event-stream")
        return _json(_completion(recording))

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", model),
            Route("/v1/chat/completions", complete, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _not_here},
    )


async def _not_here(request: Request, refused: Exception) -> Response:
    """An unknown path or a wrong method, in the API's own error shape."""
    assert isinstance(refused, HTTPException)
    asked = f"{request.method} {request.url.path}"
    if refused.status_code == 405:
        response = _error(405, f"{asked}: this method is not allowed here", "method_not_allowed")
    else:
        served = "POST /v1/chat/completions and GET /v1/models"
        response = _error(refused.status_code, f"unknown URL: {asked}; served are {served}", "unknown_url")
    response.headers.update(refused.headers or {})
    return response


async def _fail(request: Request, fault: str) -> Response:
    if fault == "hang":
        while not await request.is_disconnected():
            await asyncio.sleep(0.2)
        return Response(status_code=499)
    status = int(fault)
    if status == 429:
        response = _error(429, "rate limit reached (a fault that was asked for)", "rate_limit_exceeded")
        response.headers["retry-after"] = "1"
        return response
    return _error(status, "a fault that was asked for", "server_error" if status >= 500 else "invalid_request")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "recorded"}


def _unknown_model(name: str) -> Response:
    return _error(404, f"The model '{name}' is not recorded", "model_not_found")


def _error(status: int, message: str, code: str) -> Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return _json({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)


def _json(value: Any, status: int = 200) -> Response:
    # In ASCII: half of a surrogate pair in a recording or a question has no UTF-8.
    return Response(json.dumps(value), status_code=status, media_type="application/json")


def _usage(recording: Recording) -> dict[str, Any] | None:
    if recording.cost_usd is None:
        return dict(recording.usage) if recording.usage else None
    return {**(recording.usage or {}), "cost": recording.cost_usd}


def _head(recording: Recording, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-recorded", "object": kind, "created": int(time.time()), "model": recording.model}


def _completion(recording: Recording) -> dict[str, Any]:
    message = {"role": "assistant", "content": recording.response, "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": recording.finish_reason or "stop",
    }
    answer = {**_head(recording, "chat.completion"), "choices": [choice]}
    usage = _usage(recording)
    return answer if usage is None else {**answer, "usage": usage}


def _events(recording: Recording, include_usage: bool) -> Iterator[str]:
    head = _head(recording, "chat.completion.chunk")
    pieces = [recording.response[i : i + 40] for i in range(0, len(recording.response), 40)]
    for delta in ({"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)):
        yield _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    finish = recording.finish_reason or "stop"
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if include_usage:
        yield _event({**head, "choices": [], "usage": _usage(recording)})
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
