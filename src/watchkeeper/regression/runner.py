"""Asks every case of a run, stores every answer as it comes, and stops when going on is pointless.

The hot loop: as many workers as the provider allows pull cases from one queue; finished attempts
collect in memory and are committed together, at most `FLUSH_EVERY_S` apart, in a thread.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.foundation.clock import Clock
from watchkeeper.foundation.errors import Misconfigured, NotFound, Transient
from watchkeeper.providers.interface import CallFailure, ChatModel, Completion, Message
from watchkeeper.providers.retry import OUTAGE
from watchkeeper.regression.attempt import AttemptResult, attempt_of

FEWEST_OUTAGES = 10
"""A run that ends with so many calls in a row that found nobody there was cut off; fewer are bad luck."""

FLUSH_EVERY_S = 0.4
"""Longest time an answer that was paid for is only in memory."""

Price = Callable[[Completion], int | None]
"""What a call cost, in nano-dollars, or None."""


class ProviderFailed(Transient):
    """A provider gave no answers; what it did give is stored and the run can go on later."""

    def __init__(self, provider: str, message: str) -> None:
        self.provider = provider
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One question of one run."""

    case_id: str
    repeat: int
    messages: Sequence[Message]


@dataclass(slots=True, kw_only=True)
class RunProgress:
    """How far a run is; changed only by the runner."""

    label: str
    planned: int
    done: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    cost_nano_usd: int = 0
    unpriced: int = 0
    outages: int = 0  # how many of the newest attempts in a row found nobody there

    def add(self, attempt: AttemptResult) -> None:
        """Count one finished attempt."""
        self.done += 1
        self.retried += max(0, attempt.tries - 1)
        self.outages = self.outages + 1 if attempt.error_type in OUTAGE else 0
        if attempt.response is None:
            self.missing[attempt.error_type or "unknown"] += 1
        elif attempt.cost_nano_usd is None:
            self.unpriced += 1
        else:
            self.cost_nano_usd += attempt.cost_nano_usd


def percent_done(runs: Sequence[RunProgress]) -> float:
    """How far several runs are together, 0 to 100."""
    planned = sum(run.planned for run in runs)
    return 100.0 * sum(run.done for run in runs) / planned if planned else 100.0


async def ask_all(
    asking: Sequence[Asking],
    *,
    provider: str,
    model: str,
    chat: ChatModel,
    params: Mapping[str, Any],
    concurrency: int,
    price: Price,
    save: Callable[[list[AttemptResult]], None],
    progress: RunProgress,
    clock: Clock,
) -> None:
    """Ask every question and hand every answer to `save`, in batches, from a thread.

    Args:
        concurrency: The provider's limit; more workers than that wait between retries.
        save: Stores a batch; when it raises, asking stops and what it stored before stays.

    Raises:
        NotFound: If the provider does not know the model.
        Misconfigured: If the key is refused.
        ProviderFailed: If the provider is unreachable, or its quota is used up.
        StoreFailed: If an answer cannot be stored.
    """
    finished: list[AttemptResult] = []
    queue = iter(asking)

    async def work() -> None:
        for item in queue:
            outcome = await chat.complete(model, item.messages, params)
            cost = price(outcome) if isinstance(outcome, Completion) else None
            attempt = attempt_of(item.case_id, item.repeat, outcome, cost_nano_usd=cost, at=clock.now())
            if isinstance(outcome, CallFailure):
                _stop_if_pointless(outcome, provider, model)
            finished.append(attempt)
            progress.add(attempt)

    async def flush_now() -> None:
        if batch := finished[:]:
            del finished[: len(batch)]
            await asyncio.to_thread(save, batch)

    async def flush_often() -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await flush_now()

    # Half as many again as may call at once: those waiting for a retry hold no place in the call.
    workers = [asyncio.ensure_future(work()) for _ in range(min(len(asking), concurrency + concurrency // 2 + 1))]
    flusher = asyncio.ensure_future(flush_often())
    try:
        await _all_or_first_error([*workers, flusher], until=workers)
    finally:
        for task in (*workers, flusher):
            task.cancel()
        await asyncio.gather(*workers, flusher, return_exceptions=True)
        # Shielded: even a second Ctrl-C must not lose answers that were paid for.
        await asyncio.shield(flush_now())


async def _all_or_first_error(tasks: Sequence[asyncio.Future[None]], *, until: Sequence[asyncio.Future[None]]) -> None:
    pending = set(until)
    while pending:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        tasks = [task for task in tasks if not task.done()]
        pending -= done


def _stop_if_pointless(failure: CallFailure, provider: str, model: str) -> None:
    match failure.error_type:
        case "model_not_found":
            raise NotFound("model", f"{provider}/{model}", [], where=f"at provider {provider!r}")
        case "auth":
            raise Misconfigured(f"provider {provider!r} refused the key: {failure.message}")
        case "quota_exhausted" | "circuit_open":
            raise ProviderFailed(provider, f"provider {provider!r}: {failure.message}")
