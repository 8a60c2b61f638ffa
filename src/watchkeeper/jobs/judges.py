"""Items judged by the rubrics of the installation."""

import asyncio
from collections.abc import Callable, Sequence

from watchkeeper.app import App, provider_configs
from watchkeeper.cost.own_calls import price_by
from watchkeeper.cost.prices import PriceList
from watchkeeper.evaluation import service as evaluation
from watchkeeper.evaluation.judgement import Judgement, Vote
from watchkeeper.evaluation.judging import RetryBudget
from watchkeeper.evaluation.material import Item
from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.foundation.collector import calm_collector
from watchkeeper.foundation.errors import NotFound
from watchkeeper.jobs.prices import rate_overrides
from watchkeeper.providers.connect import connect
from watchkeeper.settings import privacy_policy


def judge_items(
    app: App,
    work: Sequence[tuple[Rubric, Sequence[Item]]],
    *,
    fresh: bool = False,
    budget: RetryBudget | None = None,
    on_votes: Callable[[Sequence[Vote]], None] | None = None,
) -> list[list[Judgement]]:
    """A judgement of every item of every rubric, in their order.

    Rubrics of one provider are judged over one connection, so that the provider's limit holds for all of them.

    Args:
        fresh: Ask again for what is known.
        budget: Of answers that are asked for again, for all of the work together.
        on_votes: Told of new votes once they are kept; a caller that must not spend more raises here.

    Raises:
        NotFound: If a rubric's provider is not configured, or does not know the model.
        Misconfigured: If a key is refused.
        ProviderFailed: If a provider gave no answers. What was judged is kept, and the same call goes on from there.
    """
    with calm_collector():
        return asyncio.run(_judge_items(app, work, fresh, budget or RetryBudget(), on_votes))


async def _judge_items(
    app: App,
    work: Sequence[tuple[Rubric, Sequence[Item]]],
    fresh: bool,
    budget: RetryBudget,
    on_votes: Callable[[Sequence[Vote]], None] | None,
) -> list[list[Judgement]]:
    providers, policy = provider_configs(app.settings), privacy_policy(app.settings)
    for rubric, _ in work:
        if rubric.provider not in providers:
            where = f"in [providers] of watchkeeper.toml, needed by rubric {rubric.name!r}"
            raise NotFound("provider", rubric.provider, list(providers), where=where)
    chats = {name: connect(providers[name]) for name in {rubric.provider for rubric, _ in work}}
    overrides = rate_overrides(app.settings)
    prices = {name: PriceList(providers[name].base_url, provider=name, overrides=overrides) for name in chats}
    tasks = [
        asyncio.ensure_future(
            evaluation.judge(
                app.store,
                items,
                rubric=rubric,
                chat=chats[rubric.provider],
                provider=providers[rubric.provider],
                price=price_by(prices[rubric.provider], rubric.model_name, app.clock),
                clock=app.clock,
                policy=policy,
                budget=budget,
                fresh=fresh,
                on_votes=on_votes,
            )
        )
        for rubric, items in work
    ]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # each keeps what it has before it ends
        await asyncio.gather(*(chat.aclose() for chat in chats.values()))
