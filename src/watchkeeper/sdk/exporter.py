"""From the end of a span to the spool: a bounded queue, one writer thread, one sender thread.

The host's thread only appends. When the queue is full because the host is in a tight loop, the host's
thread writes a batch itself rather than lose one. Two threads, so that a server that hangs never keeps
spans in memory.
"""

import json
import queue
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from watchkeeper.sdk import segment
from watchkeeper.sdk.encode import encode
from watchkeeper.sdk.guard import failed, say_once
from watchkeeper.sdk.options import Options, fallback_spool
from watchkeeper.sdk.sender import Sender
from watchkeeper.sdk.spool import Spool

_QUEUE_ITEMS, _QUEUE_CHARACTERS = 2048, 32 * 1024 * 1024
_BATCH_ITEMS, _BATCH_CHARACTERS = 512, 4 * 1024 * 1024
# How long a span stays only in memory, and so what a SIGKILL can take.
_COLLECT_S = 0.1
_SYNC_EVERY_S = 1.0
_LONGEST_HELP_S = 1.0
_EXIT_S = 1.5


class Exporter(SpanProcessor):
    """Spans, feedback and resolutions on their way out of this process.

    Args:
        options: Where to.
        resource: Resource attributes to add where a span's own resource does not have them.
    """

    def __init__(self, options: Options, resource: Mapping[str, str]) -> None:
        self._options, self._resource = options, dict(resource)
        self._closed = False
        self._fresh()

    def _fresh(self) -> None:
        self._queue: deque[tuple[Any, int]] = deque()
        self._characters = 0
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._awake = False
        self._writing = threading.Lock()
        self._starting = threading.Lock()
        self._waiting = 0
        self._spool: Spool | None = None
        self._sender: Sender | None = None
        self._writer: threading.Thread | None = None
        self._synced_at = 0.0
        self.counts: Counter[str] = Counter()

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        """Nothing is done at the start of a span."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take an ended span; microseconds, never raises."""
        try:
            context = span.context
            if context is not None and context.trace_flags.sampled:
                self.put(span, _characters(span))
        except Exception as problem:
            failed("taking a span", problem)

    def opinion(self, kind: int, body: Mapping[str, Any]) -> None:
        """Take feedback or a resolution."""
        text = json.dumps(body)
        self.put((kind, text.encode("utf-8", "replace")), len(text))

    def put(self, item: Any, characters: int) -> None:
        """Append; when the queue is full, write a batch first."""
        self._queue.append((item, characters))
        self._characters += characters
        if self._writer is None:
            self._start()
        if self._closed:
            self._write(_LONGEST_HELP_S)
        elif len(self._queue) >= _QUEUE_ITEMS or self._characters >= _QUEUE_CHARACTERS:
            self._help()
        elif not self._awake:
            self._awake = True
            self._wake.put(None)

    def begin(self) -> None:
        """Start at once, to send what an earlier process left."""
        self._start()
        self._wake.put(None)

    def flush(self, timeout: float) -> bool:
        """Everything to disk, then sent; False when `timeout` seconds did not suffice for both."""
        deadline = time.monotonic() + timeout
        written = self._write_all(deadline)
        spool, sender = self._opened(), self._sender
        if spool is not None:
            spool.adopt()
        while spool is not None and spool.next() is not None:
            left = deadline - time.monotonic()
            if sender is None or left <= 0:
                return False
            sender.wake()
            sender.idle.wait(min(left, 0.05))
        return written

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """The same, under OpenTelemetry's name."""
        return self.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Everything to disk, then send until 1.5 s have passed; never raises."""
        if self._closed:
            return
        self._closed = True
        try:
            deadline = time.monotonic() + _EXIT_S
            self._write_all(deadline)
            spool, sender = self._spool, self._sender
            if spool is not None:
                spool.sync()
            ended = sender is None or sender.finish(max(0.0, deadline - time.monotonic()))
            if spool is not None and ended:
                with self._writing:
                    self._spool = None
                    spool.close()
        except Exception as problem:
            failed("shutting down", problem)

    def after_fork(self) -> None:
        """In the child: what is queued belongs to the parent; begin anew, with an own folder and own threads."""
        spool = self._spool
        self._fresh()
        if spool is not None:
            spool.forget()

    def status(self) -> dict[str, int]:
        """How many are queued, sent, refused, dropped …, and the size of the spool."""
        spool = self._spool
        return {
            "queued": len(self._queue),
            "sent": self.counts["sent"],
            "refused": self.counts["refused"],
            "dropped": self.counts["dropped"] + (spool.lost if spool else 0),
            "damaged": spool.damaged if spool else 0,
            "retries": self.counts["retries"],
            "adopted": spool.adopted if spool else 0,
            "spool_bytes": spool.size() if spool else 0,
        }

    def _start(self) -> None:
        with self._starting:
            if self._writer is not None:
                return
            self._writer = threading.Thread(target=self._run, name="watchkeeper-write", daemon=True)
            try:
                self._writer.start()
                # Now, for at exit no thread can be started any more.
                sender = Sender(self._options, self.counts)
                sender.start()
                self._sender = sender
            except RuntimeError:  # no thread can be had: the host's thread writes when the queue is full, and at exit
                say_once("thread", "watchkeeper: no thread could be started")
            processes = sys.modules.get("multiprocessing.util")
            if processes is not None:  # its children leave without atexit
                processes.Finalize(None, self.shutdown, exitpriority=0)

    def _run(self) -> None:
        behind = False
        while not self._closed:
            try:
                self._wake.get(timeout=_SYNC_EVERY_S if behind else None)
                time.sleep(_COLLECT_S)
            except queue.Empty:  # nothing new for a second: what was written last is not yet synced
                pass
            self._awake = False
            try:
                while self._queue and not self._closed:
                    self._write(60.0, polite=True)
                spool = None if self._closed else self._opened()
                behind = time.monotonic() < self._synced_at + _SYNC_EVERY_S
                if spool is not None and not behind:
                    self._synced_at = time.monotonic()
                    spool.sync()
                if self._sender is not None:
                    self._sender.wake()
            except Exception as problem:
                failed("writing", problem)

    def _help(self) -> None:
        self._waiting += 1
        try:
            if not self._write(_LONGEST_HELP_S) and len(self._queue) >= 2 * _QUEUE_ITEMS:
                self._drop_one()
        finally:
            self._waiting -= 1

    def _drop_one(self) -> None:
        _, characters = self._queue.popleft()
        self._characters -= characters
        self.counts["dropped"] += 1

    def _write_all(self, deadline: float) -> bool:
        self._waiting += 1
        try:
            while True:
                # Once more with an empty queue: the writer may hold a batch that is not yet on disk.
                done = not self._queue
                left = deadline - time.monotonic()
                if left <= 0 or not self._write(left):
                    return False
                if done:
                    return True
        finally:
            self._waiting -= 1

    def _write(self, timeout: float, *, polite: bool = False) -> bool:
        """One batch from the queue to the spool; False if another thread would not let us."""
        if not self._writing.acquire(timeout=timeout):
            return False
        try:
            batch = self._take()
            if batch:
                self._store(batch, self._hurried if polite else _always)
        finally:
            self._writing.release()
        return True

    def _hurried(self) -> bool:
        return self._waiting > 0 or self._closed

    def _take(self) -> list[Any]:
        taken: list[Any] = []
        characters = 0
        while self._queue and len(taken) < _BATCH_ITEMS and characters < _BATCH_CHARACTERS:
            item, size = self._queue.popleft()
            taken.append(item)
            characters += size
        self._characters = max(0, self._characters - characters) if self._queue else 0
        return taken

    def _store(self, batch: list[Any], hurry: Callable[[], bool]) -> None:
        spans: list[ReadableSpan] = []
        for item in batch:
            if isinstance(item, tuple):
                self._store_spans(spans, hurry)
                spans = []
                self._append(item[0], 1, item[1])
            else:
                spans.append(item)
        self._store_spans(spans, hurry)

    def _store_spans(self, spans: list[ReadableSpan], hurry: Callable[[], bool]) -> None:
        if spans:
            body, left_out = encode(spans, self._resource, hurry)
            self.counts["dropped"] += left_out
            self._append(segment.TRACES, len(spans) - left_out, body)

    def _append(self, kind: int, items: int, body: bytes) -> None:
        try:
            self._open().append(kind, items, body)
        except (OSError, ValueError) as problem:
            self.counts["dropped"] += items
            failed("writing to the spool", problem)

    def _opened(self) -> Spool | None:
        try:
            with self._writing:
                return self._open()
        except OSError as problem:
            failed("opening the spool", problem)
            return None

    def _open(self) -> Spool:
        if self._spool is None:
            try:
                self._spool = Spool(self._options.spool, self._options.spool_limit)
            except OSError:
                say_once("spool", "watchkeeper: %s cannot be written; a temporary folder is used", self._options.spool)
                self._spool = Spool(fallback_spool(), self._options.spool_limit)
            if self._sender is not None:
                self._sender.send_from(self._spool)
        return self._spool


def _characters(span: ReadableSpan) -> int:
    """About how much text the span holds in memory."""
    attributes: Any = span._attributes
    # An ended span's attributes no longer change; their mapping's own iteration locks for each key (5 µs a span).
    plain = getattr(attributes, "_dict", attributes) or {}
    return sum([len(value) for value in plain.values() if type(value) is str])


def _always() -> bool:
    return True
