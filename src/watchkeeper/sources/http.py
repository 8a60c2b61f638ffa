"""One source's HTTP API: paced as fast as it lets us, every failure one of two errors that say what to do."""

import json
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import orjson

from watchkeeper.foundation.errors import Misconfigured, Transient
from watchkeeper.providers.retry import asked_wait_s

_LARGEST_ANSWER = 256 * 2**20
_LONGEST_WAIT_S = 120.0
_TRIES = 6


class SourceFailed(Transient):
    """The source did not answer, or not usefully; what was stored before stays, the same pull goes on later."""


class NotJson(SourceFailed):
    """It answered with something else than JSON."""


class Gone(Exception):
    """The endpoint is not there (404, 405, 410): an older or a newer server; the source knows another way."""


class Pace:
    """How fast one source may be asked; safe to share between threads.

    Nothing is held back until the first 429. From then on additive increase, multiplicative decrease (Chiu and Jain,
    1989): a 429 takes 3/10 of the rate away, each answer adds 1/60 of a request per second, so that the loss is made
    good in about 18 s at any rate, and a limit that was doubled is used in about a minute. A server's Retry-After is
    obeyed before anything else.

    Args:
        now, sleep: Of a clock; tests bring their own.
    """

    SLOWEST, FASTEST = 0.1, 50.0
    """Requests a second."""
    INCREASE, DECREASE = 1 / 60, 0.7
    FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 32.0
    """After a refusal that says no time; doubled with each further one."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._now, self._sleep = now, sleep
        self._lock = threading.Lock()
        self._rate: float | None = None
        self._next, self._held_until, self._refusals, self._sent = 0.0, float("-inf"), 0, 0
        self._began: float | None = None

    @property
    def pause_s(self) -> float:
        """Seconds between two requests at the moment."""
        return 0.0 if self._rate is None else 1 / self._rate

    def wait(self) -> None:
        """Return when the next request may go."""
        with self._lock:
            at = max(self._now(), self._next)
            self._next = at + self.pause_s
            self._began = at if self._began is None else self._began
            self._sent += 1
        if (left := at - self._now()) > 0:
            self._sleep(left)

    def answered(self) -> None:
        """A request was served: a little faster."""
        with self._lock:
            self._refusals = 0
            if self._rate is not None:
                self._rate = min(self.FASTEST, self._rate + self.INCREASE)

    def refused(self, wait_s: float | None) -> None:
        """A request was refused: slower, and not before `wait_s` seconds from now; None when the server did not say.

        Refusals of requests that were under way together are one.
        """
        with self._lock:
            now = self._now()
            if now >= self._held_until:
                self._refusals += 1
                rate = self._so_far() if self._rate is None else self._rate
                self._rate = max(self.SLOWEST, rate * self.DECREASE)
            own = min(self.LONGEST_WAIT_S, self.FIRST_WAIT_S * 2.0 ** (self._refusals - 1))
            wait = max(own, self.pause_s) if wait_s is None else wait_s
            self._held_until = max(self._held_until, now + wait)
            self._next = max(self._next, self._held_until)

    def _so_far(self) -> float:
        """Requests a second until the first refusal."""
        elapsed = self._now() - (self._now() if self._began is None else self._began)
        return min(self.FASTEST, self._sent / max(elapsed, 0.1))


class Api:
    """JSON over HTTP to one source.

    Args:
        name: Of the source, for messages.
        secrets: Texts that no message may show.

    Raises:
        Misconfigured: If base_url is no web address.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        headers: Mapping[str, str],
        auth: tuple[str, str] | None = None,
        secrets: tuple[str | None, ...] = (),
        timeout_s: float = 30.0,
        pace: Pace | None = None,
    ) -> None:
        self._name, self._secrets = name, tuple(filter(None, secrets))
        self.pace = pace or Pace()
        self._client = httpx.Client(
            base_url=_address(name, base_url), headers=dict(headers), auth=auth, timeout=timeout_s,
            follow_redirects=False,
        )  # fmt: skip
        weakref.finalize(self, self._client.close)  # a source lives as long as one pull needs it

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded JSON answer of a GET; parameters that are None are left out.

        Raises:
            Gone: If there is no such endpoint.
            SourceFailed: If it did not answer usefully after several tries.
            Misconfigured: If it refused the key or the request.
        """
        return self._json("GET", path, params=_known(params))

    def post(self, path: str, body: Any, params: Mapping[str, Any] | None = None) -> Any:
        """As get, for a POST of JSON; None where the answer has no body."""
        return self._json("POST", path, params=_known(params), json=body)

    def lines(self, path: str, body: Any) -> Iterator[Any]:
        """The decoded lines of a JSON-lines answer to a POST; as get otherwise. A line that is no JSON is None."""
        for line in self._answer("POST", path, json=body).split(b"\n"):
            if line.strip():
                try:
                    yield _loads(line)
                except ValueError:
                    yield None

    def fetch(self, url: str) -> Any:
        """The decoded JSON behind an absolute, signed URL; our credentials are not sent there."""
        return self._decoded(self._answer("GET", url, bare=True))

    def _json(self, method: str, path: str, **sent: Any) -> Any:
        return self._decoded(self._answer(method, path, **sent))

    def _decoded(self, content: bytes) -> Any:
        if not content.strip():
            return None
        try:
            return _loads(content)
        except ValueError:
            raise NotJson(f"{self._name}: the answer is not JSON; is base_url the API's own address?") from None

    def _answer(self, method: str, path: str, *, bare: bool = False, **sent: Any) -> bytes:
        for tries in range(1, _TRIES + 1):
            self.pace.wait()
            try:
                status, headers, content = self._once(method, path, bare=bare, **sent)
            except httpx.HTTPError as error:
                self._again(tries, f"cannot be reached ({type(error).__name__})", None)
                continue
            if 200 <= status < 300:
                self.pace.answered()
                return content
            wait = asked_wait_s(headers)
            if status == 429:
                self.pace.refused(None if wait is None else min(_LONGEST_WAIT_S, max(0.0, wait)))
                if tries == _TRIES:
                    raise SourceFailed(f"{self._name}: told us to slow down {tries} times (429)", retry_after_s=wait)
                continue
            if status >= 500 or status == 408:
                self._again(tries, f"answered {status}: {self._said(content)}", wait)
                continue
            raise self._refusal(method, path, status, content)
        raise AssertionError("unreachable")  # the last try raises

    def _once(self, method: str, path: str, *, bare: bool, **sent: Any) -> tuple[int, httpx.Headers, bytes]:
        with self._opened(method, path, bare, sent) as response:
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if len(content) > _LARGEST_ANSWER:
                    raise SourceFailed(f"{self._name}: an answer is larger than 256 MiB; pull shorter windows")
            return response.status_code, response.headers, bytes(content)

    @contextmanager
    def _opened(self, method: str, path: str, bare: bool, sent: Mapping[str, Any]) -> Iterator[httpx.Response]:
        if bare:
            with httpx.stream(method, path, timeout=self._client.timeout) as response:
                yield response
        else:
            with self._client.stream(method, path, **sent) as response:
                yield response

    def _again(self, tries: int, problem: str, wait_s: float | None) -> None:
        if tries == _TRIES:
            raise SourceFailed(f"{self._name}: {problem}, {tries} times", retry_after_s=wait_s)
        own = min(8.0, 0.5 * 2.0 ** (tries - 1)) * (1 - 0.25 * random.random())
        self.pace.refused(own if wait_s is None else min(_LONGEST_WAIT_S, max(0.0, wait_s)))

    def _refusal(self, method: str, path: str, status: int, content: bytes) -> Exception:
        if status in (404, 405, 410):
            return Gone(f"{method} {path}: {status}: {self._said(content)}")
        if status in (401, 403):
            return Misconfigured(f"sources.{self._name}: the key was refused ({status}): {self._said(content)}")
        return Misconfigured(f"sources.{self._name}: refused {method} {path} with {status}: {self._said(content)}")

    def _said(self, content: bytes) -> str:
        line = "".join(c for c in " ".join(content[:2_000].decode("utf-8", "replace").split()) if c.isprintable())
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line[:200] or "no reason given"


def _known(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if params is None else {name: value for name, value in params.items() if value is not None}


def _address(name: str, base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url.rstrip("/"))
    except (httpx.InvalidURL, ValueError, TypeError):
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise Misconfigured(f"sources.{name}.base_url: not a web address; write https://HOST")
    return url


def _loads(content: bytes) -> Any:
    """JSON, half a surrogate pair too: models are cut off in the middle of an emoji.

    Raises:
        ValueError: If it is none.
    """
    try:
        return orjson.loads(content)
    except ValueError:
        try:
            return json.loads(content)
        except RecursionError:
            raise ValueError("nested too deeply") from None
