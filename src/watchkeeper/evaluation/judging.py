"""Judges many items at once; every vote and every call is handed on as it comes, so that nothing paid for is lost."""

import asyncio
import hashlib
import itertools
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from watchkeeper.cost.own_calls import Price
from watchkeeper.evaluation.judge import Rendered, Wire, call_params, read_answer, render
from watchkeeper.evaluation.judgement import Judgement, Reading, Vote, judgement_of
from watchkeeper.evaluation.material import Item, unjudgeable
from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.foundation.clock import Clock
from watchkeeper.foundation.money import total
from watchkeeper.foundation.work_through import work_through
from watchkeeper.providers.interface import CallFailure, ChatModel, Completion
from watchkeeper.providers.outage import stop_if_pointless

_ASKED_AGAIN = {"unparsable", "out of scale", "truncated", "refused"}
"""What another answer may mend. A call that failed was tried again by the provider's own rules already."""

_TOGETHER = 100
"""Items rendered and looked up at once: some milliseconds."""

Key = tuple[str, int]
"""Input hash and number of a vote."""
Known = Callable[[Iterable[str]], Mapping[Key, Vote]]
"""Input hashes -> the votes that are known of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCall:
    """One call of a judge, for the record.

    Attributes:
        item_id: What was judged.
        at: When the answer was there.
        id: 64 hex digits of its own: the same question may be asked again at any time.
    """

    item_id: str
    rendered: Rendered
    vote: int
    attempt: int
    outcome: Completion | CallFailure
    cost_nano_usd: int | None
    at: datetime
    id: str


@dataclass(slots=True, kw_only=True)
class RetryBudget:
    """How many answers that could not be read may be asked for again.

    Attributes:
        retries: Of one vote.
        share: Of all votes together, as a share of those that could be asked for.
        floor: That are always allowed together.
    """

    retries: int = 2
    share: float = 0.2
    floor: int = 5
    used: int = field(default=0, init=False)

    def take(self, *, attempt: int, planned: int) -> bool:
        """Whether a vote that was tried `attempt` times may be tried again; takes it from the budget."""
        if attempt > self.retries or self.used >= max(self.floor, int(self.share * planned)):
            return False
        self.used += 1
        return True


OnDone = Callable[[Sequence[Vote], Sequence[MadeCall]], None]
"""Keeps new votes and calls; called from a thread, and once more at the end. Missing votes are among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    item_id: str
    rendered: Rendered
    number: int


async def judge_all(
    items: Sequence[Item],
    *,
    rubric: Rubric,
    chat: ChatModel,
    wire: Wire,
    price: Price,
    concurrency: int,
    clock: Clock,
    known: Known,
    on_done: OnDone,
    budget: RetryBudget | None = None,
) -> list[Judgement]:
    """A judgement of every item, in their order. Items that read the same are judged once.

    Args:
        chat: The judge's provider; its own limit keeps all calls of it apart, whatever they are for.
        known: Looks up votes cast before.
        budget: Of this call alone; answers that could not be read, beyond it, stay missing.

    Raises:
        NotFound: If the provider does not know the judge's model.
        Misconfigured: If the key is refused.
        ProviderFailed: If the provider is unreachable or its quota is used up; what it gave is with `on_done`.
    """
    rendered: dict[str, Rendered] = {}
    votes: dict[Key, Vote] = {}

    def asking() -> Iterator[_Asking]:
        """What is not known; looked up a slice at a time, while the first of it is being asked already."""
        asked: set[Key] = set()
        for start in range(0, len(items), _TOGETHER):
            some = {
                item.id: render(rubric, item)
                for item in items[start : start + _TOGETHER]
                if unjudgeable(item, rubric.sees) is None
            }
            rendered.update(some)
            found = known({each.input_hash for each in some.values()})
            votes.update({key: replace(vote, tries=0) for key, vote in found.items()})
            for item_id, each in some.items():
                for number in range(rubric.votes):
                    key = (each.input_hash, number)
                    if key not in votes and key not in asked:
                        asked.add(key)
                        yield _Asking(item_id=item_id, rendered=each, number=number)

    new = await _cast(
        asking(),
        planned=len(items) * rubric.votes,
        rubric=rubric,
        chat=chat,
        wire=wire,
        price=price,
        concurrency=concurrency,
        clock=clock,
        on_done=on_done,
        budget=budget or RetryBudget(),
    )
    votes |= {(vote.input_hash, vote.number): vote for vote in new}
    return [_judgement(item, rubric, rendered.get(item.id), votes) for item in items]


async def _cast(
    asking: Iterator[_Asking],
    *,
    planned: int,
    rubric: Rubric,
    chat: ChatModel,
    wire: Wire,
    price: Price,
    concurrency: int,
    clock: Clock,
    on_done: OnDone,
    budget: RetryBudget,
) -> list[Vote]:
    params = call_params(rubric, wire)
    calls: list[MadeCall] = []
    cast: list[Vote] = []
    salt, numbers = secrets.token_hex(16), itertools.count()

    async def vote(item: _Asking) -> Vote:
        mine: list[MadeCall] = []
        while True:
            outcome = await chat.complete(rubric.model_name, item.rendered.messages, params)
            cost = price(outcome) if isinstance(outcome, Completion) else None
            made = MadeCall(
                item_id=item.item_id,
                rendered=item.rendered,
                vote=item.number,
                attempt=len(mine) + 1,
                outcome=outcome,
                cost_nano_usd=cost,
                at=clock.now(),
                id=hashlib.sha256(f"{salt} {next(numbers)}".encode()).hexdigest(),
            )
            mine.append(made)
            calls.append(made)
            if isinstance(outcome, CallFailure):
                stop_if_pointless(outcome, rubric.provider, rubric.model_name)
            reading = read_answer(outcome, rubric.scale)
            if reading.reason not in _ASKED_AGAIN or not budget.take(attempt=len(mine), planned=planned):
                return _vote(item, reading, mine)

    def save(batch: list[Vote]) -> None:
        made = calls[:]
        del calls[: len(made)]
        on_done(batch, made)
        cast.extend(batch)

    # Half as many again as may call at once: those waiting for a retry hold no place in the call.
    try:
        await work_through(asking, vote, workers=min(planned, concurrency + concurrency // 2 + 1), save=save)
    finally:
        if calls:  # of votes that were cut short between two tries
            await asyncio.shield(asyncio.to_thread(save, []))
    return cast


def _vote(item: _Asking, reading: Reading, calls: Sequence[MadeCall]) -> Vote:
    last = calls[-1]
    return Vote(
        input_hash=item.rendered.input_hash,
        number=item.number,
        reading=reading,
        model_served=last.outcome.model_served if isinstance(last.outcome, Completion) else None,
        cost_nano_usd=total(call.cost_nano_usd for call in calls),
        unpriced=sum(1 for c in calls if isinstance(c.outcome, Completion) and c.cost_nano_usd is None),
        tries=len(calls),
        at=last.at,
    )


def _judgement(item: Item, rubric: Rubric, rendered: Rendered | None, votes: Mapping[Key, Vote]) -> Judgement:
    if rendered is None:
        return Judgement(
            item_id=item.id, version=rubric.version, value=None, reason=unjudgeable(item, rubric.sees), votes=()
        )
    mine = [votes[rendered.input_hash, number] for number in range(rubric.votes)]
    found = judgement_of(item.id, rubric.version, rubric.scale, mine)
    return replace(found, input_hash=rendered.input_hash, cut=rendered.material.cut, altered=rendered.material.altered)
