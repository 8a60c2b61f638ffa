"""What all of them share: the server, what it was asked, what it answers instead when it is told to fail."""

import asyncio
import base64
import json
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

Answer = Response | Awaitable[Response]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What to answer instead.

    Attributes:
        kind: "hang" answers nothing, "cut" loses the connection in the middle of an answer, "html" is a page of a
            proxy, "slow" waits and then answers as it would have; a number is that status.
        path: Only for requests to paths that begin so.
        retry_after: The header's value.
    """

    kind: Literal["hang", "cut", "html", "slow"] | int
    path: str = "/"
    retry_after: str | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    params: dict[str, str]
    body: Any


class Refused(Exception):
    """The server's no."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


@dataclass
class StandIn:
    """A server: what it was asked, what it does wrong next, which endpoints it does not have.

    Attributes:
        page_size: The most it puts on one page, whatever it is asked for; where the protocol lets it.
        missing: Beginnings of the paths an older or newer server does not know.
    """

    base_url: str = ""
    page_size: int = 1000
    missing: set[str] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)

    def fail(self, *faults: Fault) -> None:
        """The next requests meet these, in order."""
        self.faults += faults

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [each.path for each in self.asked]

    def routes(self) -> Sequence[tuple[str, str, Callable[[Request, Any], Any]]]:
        """Method, path and handler of each endpoint; a handler gives JSON, a Response, or raises Refused."""
        raise NotImplementedError

    def add(self, name: str, start: str, text: str = "Hi") -> None:
        """A request of one call: its id, when it started, what was asked and answered."""
        raise NotImplementedError

    def add_broken(self) -> None:
        """An item among the others that is none."""
        raise NotImplementedError

    def pushed(self) -> list[tuple[str, float]]:
        """Name and value of every score that was pushed, as the server keeps them."""
        raise NotImplementedError

    def let_in(self, request: Request) -> None:
        """Raises Refused when the request does not show the right key."""
        raise NotImplementedError

    def error(self, status: int, message: str) -> Response:
        """A refusal as this server writes it."""
        return JSONResponse({"message": message, "error": "Error"}, status_code=status)

    def page(self, items: Sequence[Any], cursor: str | None, limit: int) -> tuple[list[Any], str | None]:
        """The items at a cursor this server gave, and the next cursor."""
        if cursor is not None and cursor not in self.cursors:
            raise Refused(400, "Invalid cursor")
        start = 0 if cursor is None else self.cursors[cursor]
        end = start + min(limit, self.page_size)
        if end >= len(items):
            return list(items[start:end]), None
        following = secrets.token_urlsafe(12)
        self.cursors[following] = end
        return list(items[start:end]), following


Served = TypeVar("Served", bound=StandIn)


@contextmanager
def serving(stand_in: Served) -> Iterator[Served]:
    """The stand-in, served until the block ends."""
    routes = [_route(stand_in, *each) for each in stand_in.routes()]
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle on: 40 ms an answer
    listener.bind(("127.0.0.1", 0))
    stand_in.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = Starlette(routes=routes)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.002)
    try:
        yield stand_in
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def _route(stand_in: StandIn, method: str, path: str, handler: Callable[[Request, Any], Any]) -> Route:
    async def answer(request: Request) -> Response:
        raw = await request.body()
        body = json.loads(raw) if raw else None
        asked = Asked(method=request.method, path=request.url.path, params=dict(request.query_params), body=body)
        stand_in.asked.append(asked)
        fault = next((each for each in stand_in.faults if request.url.path.startswith(each.path)), None)
        if fault is not None:
            stand_in.faults.remove(fault)
            if fault.kind != "slow":
                return await _faulty(request, stand_in, fault)
            await asyncio.sleep(0.2)
        if any(request.url.path.startswith(each) for each in stand_in.missing):
            return PlainTextResponse("<html>404: This page could not be found</html>", status_code=404)
        try:
            stand_in.let_in(request)
            found = handler(request, body)
        except Refused as no:
            return stand_in.error(no.status, no.message)
        return found if isinstance(found, Response) else JSONResponse(found)

    return Route(path, answer, methods=[method])


async def _faulty(request: Request, stand_in: StandIn, fault: Fault) -> Response:
    match fault.kind:
        case "hang":
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
            return PlainTextResponse("nobody is there any more")
        case "cut":
            return _Cut(b'{"data": [')
        case "html":
            return PlainTextResponse("<html><body>Sign in</body></html>", media_type="text/html")
        case int() as status:
            said = stand_in.error(status, "Rate limit exceeded" if status == 429 else "Internal error")
            if fault.retry_after is not None:
                said.headers["retry-after"] = fault.retry_after
            return said
    raise AssertionError(fault)


class _Cut(Response):
    """Promises a whole answer, sends half of it and loses the connection."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        length = str(len(self.body) + 99).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


def basic(user: str, password: str) -> str:
    """The header of HTTP Basic."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def only_known(given: Any, known: str) -> None:
    """Servers that check strictly refuse what they do not know."""
    if unknown := sorted(set(given) - set(known.split())):
        raise Refused(400, f"Unrecognized key: {unknown[0]}")


def number(given: Any, name: str, default: int, most: int, least: int = 1) -> int:
    """A limit within what the server allows."""
    value = int(given.get(name, default))
    if not least <= value <= most:
        raise Refused(400, f"{name} must be between {least} and {most}")
    return value


def at(text: str) -> datetime:
    """An instant; without a zone it is UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def between(item: Any, key: str, since: str | None, until: str | None) -> bool:
    """From is inclusive, to exclusive; what has no time that can be read is on every page, as a broken row would be."""
    try:
        moment = at(item[key])
    except (TypeError, ValueError, KeyError):
        return True
    return (since is None or at(since) <= moment) and (until is None or moment < at(until))
