"""Asks every case of a run, stores every answer as it comes, and stops when going on is pointless."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.cost.own_calls import Price
from watchkeeper.evaluation.judgement import Vote
from watchkeeper.foundation.clock import Clock
from watchkeeper.foundation.work_through import work_through
from watchkeeper.providers.interface import CallFailure, ChatModel, Completion, Message
from watchkeeper.providers.outage import stop_if_pointless
from watchkeeper.providers.retry import OUTAGE
from watchkeeper.regression.attempt import AttemptResult, attempt_of

FEWEST_OUTAGES = 10
"""A run that ends with so many calls in a row that found nobody there was cut off; fewer are bad luck."""


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

    def add_votes(self, votes: Sequence[Vote]) -> None:
        """Count votes of a judge that were cast now."""
        self.done += len(votes)
        for vote in votes:
            self.retried += max(0, vote.tries - 1)
            self.cost_nano_usd += vote.cost_nano_usd or 0
            self.unpriced += vote.unpriced
            if vote.reading.value is None:
                self.missing[vote.reading.reason or "unknown"] += 1


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

    async def ask(item: Asking) -> AttemptResult:
        outcome = await chat.complete(model, item.messages, params)
        cost = price(outcome) if isinstance(outcome, Completion) else None
        if isinstance(outcome, CallFailure):
            stop_if_pointless(outcome, provider, model)
        attempt = attempt_of(item.case_id, item.repeat, outcome, cost_nano_usd=cost, at=clock.now())
        progress.add(attempt)
        return attempt

    # Half as many again as may call at once: those waiting for a retry hold no place in the call.
    await work_through(asking, ask, workers=min(len(asking), concurrency + concurrency // 2 + 1), save=save)
