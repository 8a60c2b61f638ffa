"""From bodies to pieces that may be stored; large bodies in a process of their own.

Python runs one thread at a time: while a body is decoded and masked here, nothing is committed. In another process both
go on together.
"""

import gc
import multiprocessing
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from datetime import datetime, timedelta

from watchkeeper.observability import otlp
from watchkeeper.observability.otlp import Decoded, Encoding, Signal
from watchkeeper.observability.pieces import Piece, piece_of
from watchkeeper.observability.private_spans import masked_pieces
from watchkeeper.observability.redact import Policy

_CLOCKS_DIFFER = timedelta(minutes=5)
"""How far a sender's clock may be ahead before it is counted."""

_policy: Policy | None = None
"""Of the decoding process; set once, when it starts."""


def pieces_of(decoded: Decoded, *, policy: Policy | None = None, now: datetime | None = None) -> list[Piece]:
    """Spans in our words, masked; one that breaks us is rejected and counted, never the others.

    Args:
        policy: What is masked; None masks nothing. How much is kept of the rest, `service.take_pieces` decides.
        now: Spans that start more than five minutes later are counted as "clock in the future", and taken.
    """
    pieces = []
    if now is not None:
        latest_ns = int((now + _CLOCKS_DIFFER).timestamp()) * 10**9
        if ahead := sum(span.start_ns > latest_ns for span in decoded.spans):
            decoded.counts["clock in the future"] += ahead
    for span in decoded.spans:
        try:
            pieces.append(piece_of(span, decoded.counts))
        except Exception:  # whatever a stranger's span can do, its neighbours are stored
            decoded.reject("content")
    return pieces if policy is None else masked_pieces(pieces, policy)


def taken_apart(
    body: bytes, encoding: Encoding, what: Signal, policy: Policy | None, now: datetime
) -> tuple[Decoded, list[Piece]]:
    """The pieces of a body, and what was dropped of it; the spans themselves are let go.

    Raises:
        Unreadable: If the body cannot be decoded.
    """
    decoded = (otlp.traces if what == "traces" else otlp.logs)(body, encoding)
    pieces = pieces_of(decoded, policy=policy, now=now)
    decoded.spans.clear()
    return decoded, pieces


class DecodingProcess:
    """One process that takes bodies apart. It starts with the first body, and again when it was killed.

    Args:
        policy: What is taken out before the pieces come back.
    """

    def __init__(self, policy: Policy | None) -> None:
        self._policy = policy
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def submit(
        self, body: bytes, encoding: Encoding, what: Signal, now: datetime
    ) -> "Future[tuple[Decoded, list[Piece]]]":
        """As `taken_apart`; BrokenExecutor comes out of the future when the process is killed meanwhile."""
        with self._lock:
            if self._pool is not None:
                try:
                    return self._pool.submit(_in_the_process, body, encoding, what, now)
                except BrokenExecutor:
                    self._pool.shutdown(wait=False)
            # Not a fork: this process has threads, and their locks would be copied as they are held.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=(self._policy,))
            return self._pool.submit(_in_the_process, body, encoding, what, now)

    def close(self) -> None:
        """End the process once it has done what it is at."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)


def _start(policy: Policy | None) -> None:
    global _policy
    _policy = policy
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent says when to end
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    # Spans become many small values without cycles: collecting them as often as usual costs a quarter.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _end_with_the_parent() -> None:
    """A parent that was killed cannot end us."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_the_process(body: bytes, encoding: Encoding, what: Signal, now: datetime) -> tuple[Decoded, list[Piece]]:
    return taken_apart(body, encoding, what, _policy, now)
