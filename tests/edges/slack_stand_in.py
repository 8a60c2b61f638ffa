"""A stand-in for Slack's Web API: real HTTP on loopback, Slack's rules for what we use, faults on request."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

TOKEN = "xoxb-stand-in"
CHANNEL, CHANNEL_ID = "#llm-oncall", "C0ONCALL00"


@dataclass(frozen=True)
class Fault:
    """What to answer instead of doing the call.

    kind: "429" | "500" | "hang" | "drop" (takes the message, then loses the connection) | "take-and-hang"
        (takes it and does not answer) | an `ok: false` code.
    """

    kind: str
    method: str = "chat.postMessage"
    retry_after_s: int = 1


@dataclass
class Slack:
    """The workspace: its messages in order, and every call it got."""

    base_url: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)  # method -> ok:false code, until taken away
    hang_s: float = 5.0
    page_size: int = 200

    def fail(self, *faults: Fault) -> None:
        """The next calls of those methods meet these faults, in order."""
        self.faults += faults

    def count(self, method: str) -> int:
        """How often a method was called."""
        return sum(1 for name, _ in self.calls if name == method)

    def said(self) -> list[str]:
        """The fallback text of every message that stands in the channel."""
        return [message["text"] for message in self.messages]

    def _take_fault(self, method: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method:
                self.faults.remove(fault)
                return fault
        return None


class _CutOff(Response):
    """Promises an answer and closes the connection before it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})


@contextmanager
def slack_stand_in(**options: Any) -> Iterator[Slack]:
    """A workspace with one public channel, served until the block ends."""
    slack = Slack(**options)

    async def answer(request: Request) -> Response:
        return await _answer(slack, request)

    app = Starlette(routes=[Route("/api/{method}", answer, methods=["GET", "POST"])])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    slack.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/"
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield slack
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


async def _answer(slack: Slack, request: Request) -> Response:
    method = request.path_params["method"]
    arguments = await _arguments(request)
    slack.calls.append((method, arguments))
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return _refused("invalid_auth")
    if (code := slack.broken.get(method)) is not None:
        return _refused(code)
    fault = slack._take_fault(method)
    if fault is not None and fault.kind not in ("drop", "take-and-hang"):
        return await _faulty(slack, fault)
    handler = _METHODS.get(method)
    if handler is None:
        return _refused("unknown_method")
    answer = handler(slack, arguments)
    if fault is not None and fault.kind == "take-and-hang":
        await asyncio.sleep(slack.hang_s)
    return _CutOff() if fault is not None else JSONResponse(answer)


async def _faulty(slack: Slack, fault: Fault) -> Response:
    if fault.kind == "429":
        headers = {"Retry-After": str(fault.retry_after_s)}
        return JSONResponse({"ok": False, "error": "ratelimited"}, status_code=429, headers=headers)
    if fault.kind == "500":
        return PlainTextResponse("<html>bad gateway</html>", status_code=500)
    if fault.kind == "hang":
        await asyncio.sleep(slack.hang_s)
        return PlainTextResponse("too late", status_code=504)
    return _refused(fault.kind)


async def _arguments(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("content-type", "").startswith("application/json"):
        return dict(json.loads(body or b"{}"))
    from urllib.parse import parse_qsl

    arguments: dict[str, Any] = dict(parse_qsl(body.decode()))
    for name in ("blocks", "metadata"):
        if name in arguments:
            arguments[name] = json.loads(arguments[name])
    return {**dict(request.query_params), **arguments}


def _refused(code: str) -> JSONResponse:
    return JSONResponse({"ok": False, "error": code})


def _no(code: str) -> dict[str, Any]:
    return {"ok": False, "error": code}


def _auth_test(slack: Slack, _: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "team": "Stand-in", "user": "watchkeeper", "bot_id": "B0STANDIN0", "url": slack.base_url}


def _post(slack: Slack, arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments.get("channel") not in (CHANNEL, CHANNEL.removeprefix("#"), CHANNEL_ID):
        return _no("channel_not_found")
    if problem := _problem(arguments):
        return _no(problem)
    ts = f"{time.time():.6f}"
    while any(message["ts"] == ts for message in slack.messages):
        ts = f"{float(ts) + 0.000001:.6f}"
    message = {
        "type": "message",
        "ts": ts,
        "bot_id": "B0STANDIN0",
        "text": arguments["text"],
        "blocks": arguments.get("blocks", []),
        "metadata": arguments.get("metadata"),
        "edits": 0,
    }
    slack.messages.append(message)
    return {"ok": True, "channel": CHANNEL_ID, "ts": ts, "message": message}


def _update(slack: Slack, arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments.get("channel") != CHANNEL_ID:  # unlike posting, editing takes no name
        return _no("channel_not_found")
    if problem := _problem(arguments):
        return _no(problem)
    for message in slack.messages:
        if message["ts"] == arguments.get("ts"):
            message |= {"text": arguments["text"], "blocks": arguments.get("blocks", []), "edits": message["edits"] + 1}
            return {"ok": True, "channel": CHANNEL_ID, "ts": message["ts"], "text": message["text"]}
    return _no("message_not_found")


def _history(slack: Slack, arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments.get("channel") != CHANNEL_ID:
        return _no("channel_not_found")
    oldest = float(arguments.get("oldest", 0))
    found = [message for message in reversed(slack.messages) if float(message["ts"]) > oldest]
    start = int(arguments.get("cursor") or 0)
    size = min(int(arguments.get("limit", 100)), slack.page_size)
    page = found[start : start + size]
    if arguments.get("include_all_metadata") not in (True, "1", "true"):
        page = [{k: v for k, v in message.items() if k != "metadata"} for message in page]
    following = str(start + size) if start + size < len(found) else ""
    return {"ok": True, "messages": page, "response_metadata": {"next_cursor": following}}


def _channels(_: Slack, __: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "channels": [{"id": CHANNEL_ID, "name": CHANNEL.removeprefix("#")}]}


def _channel_info(_: Slack, arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments.get("channel") != CHANNEL_ID:
        return _no("channel_not_found")
    return {"ok": True, "channel": {"id": CHANNEL_ID, "name": CHANNEL.removeprefix("#"), "is_member": True}}


_METHODS = {
    "auth.test": _auth_test,
    "chat.postMessage": _post,
    "chat.update": _update,
    "conversations.history": _history,
    "conversations.list": _channels,
    "conversations.info": _channel_info,
}


def _problem(arguments: dict[str, Any]) -> str | None:
    """Slack's rules for what we send; also used by the property test of the messages."""
    text, blocks = arguments.get("text"), arguments.get("blocks", [])
    if not text and not blocks:
        return "no_text"
    if len(text or "") > 40_000:
        return "msg_too_long"
    return None if blocks_hold(blocks) else "invalid_blocks"


def blocks_hold(blocks: list[dict[str, Any]]) -> bool:
    """Whether Slack would take the blocks."""
    return len(blocks) <= 50 and all(_block_holds(block) for block in blocks)


def _block_holds(block: dict[str, Any]) -> bool:
    match block:
        case {"type": "header", "text": {"type": "plain_text", "text": str(text)}}:
            return 0 < _units(text) <= 150
        case {"type": "section", "text": {"type": "mrkdwn", "text": str(text)}}:
            return 0 < _units(text) <= 3000
        case {"type": "section", "fields": list(fields)}:
            return 0 < len(fields) <= 10 and all(0 < _units(f["text"]) <= 2000 for f in fields)
        case {"type": "context", "elements": list(elements)}:
            return 0 < len(elements) <= 10 and all(_units(e["text"]) > 0 for e in elements)
        case {"type": "actions", "elements": list(elements)}:
            ids = [element["action_id"] for element in elements]
            return 0 < len(elements) <= 25 and len(set(ids)) == len(ids) and all(_button_holds(e) for e in elements)
    return False


def _button_holds(button: dict[str, Any]) -> bool:
    return (
        0 < _units(button["text"]["text"]) <= 75
        and len(button["url"]) <= 3000
        and button["url"].startswith(("http://", "https://"))
        and len(button["action_id"]) <= 255
        and button.get("style", "primary") in ("primary", "danger")
    )


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
