"""Spans on their way into the store: a bounded queue, and one thread that commits what several senders sent together.

A sender is told "stored" only after the commit. When the queue is full, or the store cannot take the spans, the
sender is told to try again; nothing is dropped silently: what was dropped or refused is counted in the store, with
the spans where there are any, else at most once a second.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from watchkeeper.foundation.errors import Transient
from watchkeeper.observability.pieces import Piece

_MOST_SPANS = 2_000
"""Spans of one transaction: at our rates half a second of work, so that an acknowledgement stays under one."""

_TOGETHER_S = 0.005
"""How long the first sender waits for others to share its commit; those that come during a commit share the next."""

_COUNTED_EVERY_S = 1.0
"""A flood of bodies that are refused must not become a flood of transactions."""


class Overloaded(Transient):
    """The queue is full or the store is busy; the sender keeps the spans and tries again."""


class _Waiting(NamedTuple):
    pieces: Sequence[Piece]
    counts: Mapping[str, int]
    done: "Future[None]"


class Intake:
    """The queue and its thread.

    Args:
        store: Stores pieces and adds counts in one transaction, or raises.
        most_bytes: Bytes of bodies that may be on their way at once: two of the largest.
    """

    def __init__(
        self, store: Callable[[Sequence[Piece], Mapping[str, int]], object], *, most_bytes: int = 128 * 2**20
    ) -> None:
        self._store, self._most_bytes = store, most_bytes
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._refused: Counter[str] = Counter()
        self._due = 0.0
        self._changed = threading.Condition()
        self._closed = False
        self._since: float | None = None
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

    @property
    def busy_s(self) -> float:
        """Seconds that the batch being stored has taken so far; 0 between batches."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def refuse(self, why: str) -> None:
        """Count a body that is not taken."""
        with self._changed:
            if not self._refused:
                self._due = time.monotonic() + _COUNTED_EVERY_S
                self._changed.notify()
            self._refused[why] += 1

    def put(self, pieces: Sequence[Piece], counts: Mapping[str, int]) -> "Future[None]":
        """Queue pieces and what was dropped of them; the result comes after their commit, or as the store's error.

        Cancelled before their turn, they are forgotten: whoever stopped waiting sends them again.
        """
        done: Future[None] = Future()
        with self._changed:
            if self._closed:
                done.set_exception(Overloaded("stopping; try again", retry_after_s=2))
                return done
            self._waiting.append(_Waiting(pieces, counts, done))
            self._changed.notify()
        return done

    def close(self) -> None:
        """Store what waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        open_ = True
        while open_:
            batch, refused, open_ = self._next()
            if not batch and not refused:
                continue
            self._since = time.monotonic()
            counts = Counter(refused)
            for each in batch:
                counts.update(each.counts)
            try:
                self._store([piece for each in batch for piece in each.pieces], counts)
            except Exception as error:
                with self._changed:
                    self._refused.update(refused)
                    self._due = time.monotonic() + _COUNTED_EVERY_S
                self._one_by_one(batch, error)
            else:
                for each in batch:
                    each.done.set_result(None)
            self._since = None

    def _one_by_one(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """What fails together may be one sender's fault: the others must not pay for it."""
        if isinstance(error, Transient) or len(batch) == 1:
            for each in batch:
                each.done.set_exception(error)
            return
        for each in batch:
            try:
                self._store(each.pieces, each.counts)
            except Exception as own:
                each.done.set_exception(own)
            else:
                each.done.set_result(None)

    def _next(self) -> tuple[list[_Waiting], Counter[str], bool]:
        """What is to be stored now: bodies, refusals; and whether there will be more."""
        with self._changed:
            while not self._waiting and not self._closed:
                left = self._due - time.monotonic() if self._refused else None
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            batch = self._batch() if self._waiting else []
            refused, self._refused = self._refused, Counter()
            return batch, refused, bool(self._waiting) or not self._closed

    def _batch(self) -> list[_Waiting]:
        until = time.monotonic() + _TOGETHER_S
        while sum(len(each.pieces) for each in self._waiting) < _MOST_SPANS and not self._closed:
            left = until - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                break
        batch = [self._waiting.popleft()]
        spans = len(batch[0].pieces)
        while self._waiting and spans + len(self._waiting[0].pieces) <= _MOST_SPANS:
            batch.append(self._waiting.popleft())
            spans += len(batch[-1].pieces)
        return [each for each in batch if each.done.set_running_or_notify_cancel()]
