"""Spans on their way into the store: a bounded queue, and one thread that commits what several senders sent together.

A sender is told "stored" only after the commit. When the queue is full, or the store cannot take the spans, the
sender is told to try again; nothing is dropped silently.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from watchkeeper.foundation.errors import Transient
from watchkeeper.observability.pieces import Piece

_MOST_SPANS = 2_000
"""Spans of one transaction: at our rates half a second of work, so that an acknowledgement stays under one."""

_TOGETHER_S = 0.02
"""How long the first sender waits for others to share its commit, when the queue is short."""


class Overloaded(Transient):
    """The queue is full or the store is busy; the sender keeps the spans and tries again."""


class Intake:
    """The queue and its thread.

    Args:
        store: Stores pieces in one transaction, or raises.
        most_bytes: Bytes of bodies that may be on their way at once: two of the largest.
    """

    def __init__(self, store: Callable[[Sequence[Piece]], object], *, most_bytes: int = 128 * 2**20) -> None:
        self._store, self._most_bytes = store, most_bytes
        self._waiting: deque[tuple[Sequence[Piece], int, Future[None]]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="intake", daemon=True)
        self._thread.start()

    def admit(self, size: int) -> None:
        """Reserve room for `size` bytes of a body, before it is decoded; `leave` gives it back.

        Raises:
            Overloaded: If there is none.
        """
        with self._changed:
            if self._closed or self._bytes + size > self._most_bytes:
                raise Overloaded("more spans are waiting than may wait; try again", retry_after_s=1)
            self._bytes += size

    def leave(self, size: int) -> None:
        """Give back the room of a body that is stored, or refused."""
        with self._changed:
            self._bytes -= size

    def put(self, pieces: Sequence[Piece]) -> "Future[None]":
        """Queue pieces; the result comes after their commit, or is what the store raised."""
        done: Future[None] = Future()
        with self._changed:
            if self._closed:
                done.set_exception(Overloaded("stopping; try again", retry_after_s=2))
                return done
            self._waiting.append((pieces, len(pieces), done))
            self._changed.notify()
        return done

    def close(self) -> None:
        """Store what waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while batch := self._next():
            pieces = [piece for some, _, _ in batch for piece in some]
            try:
                self._store(pieces)
            except Exception as error:
                self._one_by_one(batch, error)
            else:
                for _, _, done in batch:
                    done.set_result(None)

    def _one_by_one(self, batch: Sequence[tuple[Sequence[Piece], int, "Future[None]"]], error: Exception) -> None:
        """What fails together may be one sender's fault: the others must not pay for it."""
        if isinstance(error, Transient) or len(batch) == 1:
            for _, _, done in batch:
                done.set_exception(error)
            return
        for pieces, _, done in batch:
            try:
                self._store(pieces)
            except Exception as own:
                done.set_exception(own)
            else:
                done.set_result(None)

    def _next(self) -> list[tuple[Sequence[Piece], int, "Future[None]"]]:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return []
            until = time.monotonic() + _TOGETHER_S
            while sum(size for _, size, _ in self._waiting) < _MOST_SPANS and not self._closed:
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            batch, spans = [self._waiting.popleft()], 0
            spans = batch[0][1]
            while self._waiting and spans + self._waiting[0][1] <= _MOST_SPANS:
                batch.append(self._waiting.popleft())
                spans += batch[-1][1]
            return batch
