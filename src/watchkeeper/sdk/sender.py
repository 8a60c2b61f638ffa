"""Records out of the spool, in order, one POST each, until each is answered."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from watchkeeper.sdk import segment
from watchkeeper.sdk.encode import rejected_spans
from watchkeeper.sdk.guard import failed, say_once
from watchkeeper.sdk.options import Options
from watchkeeper.sdk.segment import Record
from watchkeeper.sdk.spool import Spool

_PATHS = {
    segment.TRACES: ("/v1/traces", "application/x-protobuf"),
    segment.FEEDBACK: ("/api/feedback", "application/json"),
    segment.RESOLUTION: ("/api/resolutions", "application/json"),
}
_RETRYABLE = frozenset({408, 429, 502, 503, 504})
_FIRST_WAIT_S, _LONGEST_WAIT_S, _LONGEST_ASKED_S = 0.5, 30.0, 300.0
# A server error that is not about load may be about the batch: it must not block the others for ever.
_TRIES_ON_500 = 5
_IDLE_S = 20.0
_MOST_ANSWER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; status None when nothing did. `retry_after` in seconds, None when not said."""

    status: int | None
    retry_after: float | None = None
    body: bytes = b""


class Sender:
    """The thread that sends. It ends after `finish` as soon as nothing is left or nothing gets through."""

    def __init__(self, options: Options, counts: Counter[str]) -> None:
        self._options, self._counts = options, counts
        self._spool: Spool | None = None
        self._wake, self._finishing = threading.Event(), threading.Event()
        self.idle = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchkeeper-send", daemon=True)
        self._connection: http.client.HTTPConnection | None = None

    def start(self) -> None:
        self._thread.start()

    def send_from(self, spool: Spool) -> None:
        """There is a spool now."""
        self._spool = spool

    def wake(self) -> None:
        """There is something new."""
        self.idle.clear()
        self._wake.set()

    def finish(self, timeout: float) -> bool:
        """Send what can be sent in `timeout` seconds; whether the thread has ended."""
        self._finishing.set()
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self._spool is None:
                if self._finishing.is_set():
                    return
                self._wake.wait()
                self._wake.clear()
            self._spool.adopt()
            self._send_all(self._spool)
        except Exception as problem:
            failed("sending", problem)

    def _send_all(self, spool: Spool) -> None:
        failures, not_before, adopt_at = 0, 0.0, time.monotonic() + _IDLE_S
        while True:
            if time.monotonic() > adopt_at:
                spool.adopt()
                adopt_at = time.monotonic() + _IDLE_S * random.uniform(0.75, 1.25)
            self._wake.clear()
            found = spool.next()
            if found is None:
                self.idle.set()
                if self._finishing.is_set():
                    return
                self._wake.wait(_IDLE_S)
                continue
            if self._finishing.is_set() and time.monotonic() < not_before:
                return
            folder, record = found
            answer = self._post(record)
            if answer.status is not None and 200 <= answer.status < 300:
                failures = 0
                spool.acknowledge(folder, record)
                self._counts["sent"] += record.items
                if record.kind == segment.TRACES and (rejected := rejected_spans(answer.body)):
                    self._counts["refused"] += rejected
                    say_once("partial", "watchkeeper: the server refused %d spans of a batch", rejected)
                continue
            failures += 1
            if not _worth_retrying(answer.status, failures):
                failures = 0
                spool.set_aside(folder, record)
                self._counts["refused"] += record.items
                say_once(
                    "refused", "watchkeeper: the server refused a batch with %s; it is kept in dead/", answer.status
                )
                continue
            self._counts["retries"] += 1
            say_once("unreachable", "watchkeeper: no answer from %s; records wait on disk", self._options.endpoint)
            if self._finishing.is_set():
                return
            asked = answer.retry_after
            pause = _backoff(failures) if asked is None else min(asked, _LONGEST_ASKED_S) * random.uniform(1, 1.1)
            not_before = 0.0 if asked is None else time.monotonic() + pause
            self._finishing.wait(pause)

    def _post(self, record: Record) -> Answer:
        path, content_type = _PATHS.get(record.kind, _PATHS[segment.TRACES])
        headers = {"content-type": content_type, "user-agent": "watchkeeper-sdk", **dict(self._options.headers)}
        if record.kind == segment.TRACES:
            headers["content-encoding"] = "gzip"
        reused = self._connection is not None
        answer = self._once(path, headers, record.body)
        if answer.status is None and reused and not self._finishing.is_set():
            # A kept connection that the server closed says nothing about the server.
            answer = self._once(path, headers, record.body)
        return answer

    def _once(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        try:
            if self._connection is None:
                self._connection = _connection(self._options)
            base = urlsplit(self._options.endpoint).path.rstrip("/")
            self._connection.request("POST", base + path, body, headers)
            response = self._connection.getresponse()
            answer = Answer(
                status=response.status,
                retry_after=retry_after(response.getheader("retry-after"), time.time),
                body=response.read(_MOST_ANSWER_BYTES),
            )
            if response.will_close or not response.isclosed():
                self._drop_connection()
            return answer
        except (OSError, http.client.HTTPException, ValueError):
            self._drop_connection()
            return Answer(status=None)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def retry_after(header: str | None, now: Callable[[], float]) -> float | None:
    """Seconds to wait from a Retry-After header (seconds or a date); None when absent or unreadable."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now())
    except (ValueError, TypeError):
        return None


def _worth_retrying(status: int | None, failures: int) -> bool:
    if status is None or status in _RETRYABLE:
        return True
    return status >= 500 and failures < _TRIES_ON_500


def _backoff(failures: int) -> float:
    """Seconds: doubling from half a second to half a minute, of which a random half to whole is waited."""
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1))


def _connection(options: Options) -> http.client.HTTPConnection:
    parts = urlsplit(options.endpoint)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "127.0.0.1", parts.port, timeout=options.timeout)
