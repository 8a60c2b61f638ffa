"""One HTTP request to a provider: bounded in time and size, every failure a value.

The httpx API over the aiohttp transport: httpx's own transport costs twenty times the CPU at
concurrency 50. Requests go to the transport directly, because the client layer above it does
nothing here that is wanted (redirects, cookies, environment) and costs as much as the call.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from aiohttp import ClientConnectorError, ClientError
from httpx_aiohttp import AiohttpTransport

from watchkeeper.providers.interface import CallFailure
from watchkeeper.providers.retry import Failed, asked_wait_s

_LARGEST_BODY = 64 * 1024 * 1024
_SAID = 200


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a lone surrogate or an odd key, which the standard library can write
        return json.dumps(body).encode()


def _decoded(body: bytes) -> Any:
    """JSON of the other side.

    Raises:
        ValueError: If it is not JSON.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)  # takes a lone surrogate, as models do send them


class Refusal(Exception):
    """A request that gave no answer; carries the value that says why."""

    def __init__(self, failed: Failed) -> None:
        self.failed = failed
        super().__init__(failed.failure.message)


class Wire:
    """A connection pool to one API root."""

    def __init__(
        self, *, base_url: str, headers: Mapping[str, str], secret: str | None, timeout_s: float, concurrency: int
    ) -> None:
        self._base = base_url.rstrip("/")
        self._urls: dict[str, httpx.URL] = {}
        # Built once: httpx reads addresses and headers anew for every request, a third of its cost.
        self._headers = httpx.Headers(
            {
                "host": httpx.URL(base_url).netloc.decode("ascii"),
                "content-type": "application/json",
                "accept": "application/json",
                "accept-encoding": "gzip, deflate",  # what httpx unpacks; aiohttp would offer more
                **headers,
            }
        )
        self._secret = secret
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        self._transport: httpx.AsyncBaseTransport | None = None

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[Any, Mapping[str, str]]:
        """The decoded JSON answer and the response's headers.

        Raises:
            Refusal: For anything else than a JSON answer with status 200.
        """
        return await self._fetch("POST", path, _encoded(body))

    async def get(self, path: str) -> tuple[Any, Mapping[str, str]]:
        """As post, for GET."""
        return await self._fetch("GET", path, None)

    @asynccontextmanager
    async def stream(
        self, path: str, body: Mapping[str, Any]
    ) -> AsyncIterator[tuple[AsyncIterator[str], Mapping[str, str]]]:
        """The data of server-sent events, one text each, and the headers.

        Raises:
            Refusal: As post.
        """
        with self._refusing():
            async with asyncio.timeout(self._timeout_s):
                response = await self._send("POST", path, _encoded(body))
                try:
                    if response.status_code != 200:
                        raise Refusal(self._refused(response, await self._body(response)))
                    yield self._events(response), response.headers
                finally:
                    await response.aclose()

    async def aclose(self) -> None:
        """Close the pool."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _fetch(self, method: str, path: str, content: bytes | None) -> tuple[Any, Mapping[str, str]]:
        with self._refusing():
            async with asyncio.timeout(self._timeout_s):
                response = await self._send(method, path, content)
                try:
                    body = await self._body(response)
                finally:
                    await response.aclose()
        if response.status_code != 200:
            raise Refusal(self._refused(response, body))
        try:
            return _decoded(body), response.headers
        except (ValueError, RecursionError):
            raise Refusal(self._failure("bad_response", "the answer is not JSON", response)) from None

    async def _send(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        if self._transport is None:
            self._transport = AiohttpTransport(
                limits=httpx.Limits(
                    max_connections=self._concurrency + 8, max_keepalive_connections=self._concurrency + 8
                )
            )
        if (url := self._urls.get(path)) is None:
            url = self._urls[path] = httpx.URL(self._base + path)
        request = httpx.Request(method, url, headers=self._headers, content=content)
        return await self._transport.handle_async_request(request)

    async def _body(self, response: httpx.Response) -> bytes:
        parts, size = [], 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > _LARGEST_BODY:
                raise Refusal(self._failure("bad_response", "the answer is larger than 64 MiB", response))
            parts.append(part)
        return b"".join(parts)

    async def _events(self, response: httpx.Response) -> AsyncIterator[str]:
        """Only a line feed ends a line: U+2028 and its like may stand raw inside a JSON text."""
        rest, size = b"", 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > _LARGEST_BODY:
                raise Refusal(self._failure("bad_response", "the answer is larger than 64 MiB", response))
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].decode("utf-8", "replace").strip()
        if rest.startswith(b"data:"):
            yield rest[5:].decode("utf-8", "replace").strip()

    def _refusing(self) -> "_Refusing":
        return _Refusing(self._timeout_s)

    def _refused(self, response: httpx.Response, body: bytes) -> Failed:
        try:
            decoded = _decoded(body)
        except (ValueError, RecursionError):
            decoded = None
        return self.failed_of(response.status_code, decoded, response.headers)

    def failed_of(self, status: int, decoded: Any, headers: Mapping[str, str]) -> Failed:
        """What a refusal in the providers' error shape means; under status 200 its own words say which it is."""
        error = decoded.get("error") if isinstance(decoded, dict) else None
        error = error if isinstance(error, dict) else {"message": error if isinstance(error, str) else None}
        code, kind = str(error.get("code") or ""), str(error.get("type") or "")
        said = self.clean(error.get("message")) or "no reason given"
        failure = CallFailure(
            error_type=_error_type(status, code, kind, said),
            message=f"{status}: {said}"[:_SAID],
            status=status,
            request_id=headers.get("x-request-id") or headers.get("request-id"),
        )
        should = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
        # A parameter that is known and has a bad value must not be dropped: it would be asked without.
        param = error.get("param") if not code or code.startswith(("unsupported", "unknown")) else None
        return Failed(
            failure=failure,
            should_retry=should,
            wait_s=asked_wait_s(headers),
            param=param if isinstance(param, str) else None,
        )

    def _failure(self, error_type: str, message: str, response: httpx.Response) -> Failed:
        return Failed(failure=CallFailure(error_type=error_type, message=message, status=response.status_code))

    def clean(self, text: Any) -> str:
        """Text of the other side on one line, without our key and without what a terminal would obey."""
        line = "".join(c for c in " ".join(str(text or "").split()) if c.isprintable())
        return line.replace(self._secret, "***") if self._secret else line


class _Refusing:
    """Turns what the network does into a Refusal."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        # httpx-aiohttp calls a connection that was refused or cut a time-out; its cause tells. The one
        # time-out there is, is ours.
        cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ else error
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            what, message = "bad_request", "base_url is not a web address"
        elif isinstance(cause, ClientConnectorError):
            what, message = "connect", "cannot be connected to"
        elif isinstance(cause, httpx.TransportError | ClientError):
            what, message = "connect", f"the connection broke ({type(cause).__name__})"
        elif isinstance(error, httpx.DecodingError):
            what, message = "bad_response", "the answer cannot be unpacked"
        elif isinstance(error, TimeoutError):
            what, message = "timeout", f"no whole answer within {self._timeout_s:g} s"
        elif isinstance(error, OSError):
            what, message = "connect", f"the connection broke ({type(error).__name__})"
        else:
            return
        raise Refusal(Failed(failure=CallFailure(error_type=what, message=message))) from None


# What the providers call their errors -> the status they come with where they come with one.
_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 529,
}


def _error_type(status: int, code: str, kind: str, said: str) -> str:
    if status == 200:
        said_status = int(code) if code.isdecimal() and len(code) == 3 else 0
        status = said_status or _STATUS_OF.get(code) or _STATUS_OF.get(kind) or 200
    if "insufficient_quota" in (code, kind):
        return "quota_exhausted"
    if code == "context_length_exceeded" or status == 413:
        return "context_length"
    if code == "content_filter":
        return "content_filtered"
    if code == "model_not_found" or (status == 404 and kind == "not_found_error" and "model" in said.lower()):
        return "model_not_found"
    if 200 <= status < 400:
        return "bad_response"
    by_status = {
        401: "auth",
        403: "auth",
        404: "not_found",
        408: "timeout",
        409: "conflict",
        429: "rate_limited",
        503: "overloaded",
        529: "overloaded",
    }
    return by_status.get(status, "server_error" if status >= 500 else "bad_request")
