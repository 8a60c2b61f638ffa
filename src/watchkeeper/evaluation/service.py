"""Look up what judges have said, ask for the rest, keep both the votes and the calls."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from watchkeeper.cost.own_calls import Price
from watchkeeper.database.engine import Store
from watchkeeper.evaluation import store
from watchkeeper.evaluation.judge import recorded_params
from watchkeeper.evaluation.judgement import Judgement, Vote
from watchkeeper.evaluation.judging import Key, MadeCall, RetryBudget, judge_all
from watchkeeper.evaluation.material import Item
from watchkeeper.evaluation.records import record_of
from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.foundation.clock import Clock
from watchkeeper.observability.redact import Policy
from watchkeeper.observability.service import import_requests
from watchkeeper.providers.connect import ProviderConfig
from watchkeeper.providers.interface import ChatModel


async def judge(
    opened: Store,
    items: Sequence[Item],
    *,
    rubric: Rubric,
    chat: ChatModel,
    provider: ProviderConfig,
    price: Price,
    clock: Clock,
    policy: Policy | None = None,
    budget: RetryBudget | None = None,
    fresh: bool = False,
    on_votes: Callable[[Sequence[Vote]], None] | None = None,
) -> list[Judgement]:
    """A judgement of every item, in their order; asks only for votes that are not known.

    Args:
        items: Each with an id of its own.
        chat: Connected to `provider`. Share one between all rubrics of a provider: its limit is the limit of all.
        policy: What is taken out of the records of the calls before they are stored.
        fresh: Ask again for what is known, e.g. to see whether the judge agrees with itself; what is known stays.
        on_votes: Told of new votes, from a thread, once they are kept.

    Raises:
        NotFound: If the provider does not know the judge's model.
        Misconfigured: If the key is refused.
        ProviderFailed: If the provider is unreachable or its quota is used up. What was judged is kept, and the same
            call goes on from there.
        StoreFailed: If the store fails.
    """
    params = recorded_params(rubric, provider.kind)

    def known(input_hashes: Iterable[str]) -> Mapping[Key, Vote]:
        if fresh:
            return {}
        with opened.read() as session:
            return store.votes(session, rubric.version, input_hashes)

    def keep(votes: Sequence[Vote], calls: Sequence[MadeCall]) -> None:
        # The calls first: what was spent must show, even where the disk fills up in between.
        import_requests(opened, (record_of(call, rubric, params) for call in calls), policy=policy)
        with opened.write() as session:
            store.save_votes(session, rubric.version, votes)
        if on_votes and votes:
            on_votes(votes)

    return await judge_all(
        items,
        rubric=rubric,
        chat=chat,
        wire=provider.kind,
        price=price,
        concurrency=provider.concurrency,
        clock=clock,
        known=known,
        on_done=keep,
        budget=budget,
    )
