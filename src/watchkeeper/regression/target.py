"""What suites are asked of; and that it exists, before anything is paid for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.foundation.errors import NotFound, Transient
from watchkeeper.providers.connect import ProviderConfig
from watchkeeper.providers.interface import CallFailure, ChatModel, Message
from watchkeeper.regression.suite import Suite, messages_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a suite is run against. `suite` differs between the sides when the prompt does."""

    provider: str
    model: str
    suite: Suite

    @property
    def name(self) -> str:
        """PROVIDER/MODEL."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """One suite, asked of a baseline and of a candidate."""

    baseline: Target
    candidate: Target


def providers_of(
    comparing: Sequence[Comparing], judging: Sequence[Rubric], providers: Mapping[str, ProviderConfig]
) -> list[str]:
    """Every provider that is asked for an answer or a judgement, sorted.

    Raises:
        NotFound: If a rubric names one that is not configured.
    """
    for rubric in judging:
        if rubric.provider not in providers:
            raise NotFound("provider", rubric.provider, list(providers), where=f"; rubric {rubric.name!r} needs it")
    targets = {target.provider for each in comparing for target in (each.baseline, each.candidate)}
    return sorted(targets | {rubric.provider for rubric in judging})


async def verify_models(
    comparing: Sequence[Comparing], judging: Sequence[Rubric], chats: Mapping[str, ChatModel]
) -> None:
    """Refuse a model its provider does not know, before anything is paid for.

    A list need not hold every alias, so a model that is not listed gets one real question.

    Raises:
        NotFound: Names the model, and what its provider offers.
    """
    targets: dict[str, tuple[str, str, Sequence[Message], Mapping[str, Any]]] = {
        rubric.model: (rubric.provider, rubric.model_name, [{"role": "user", "content": "Say OK."}], rubric.params)
        for rubric in judging
    }
    for target in (t for each in comparing for t in (each.baseline, each.candidate)):
        first = messages_of(target.suite.template, target.suite.cases[0])
        targets[target.name] = (target.provider, target.model, first, target.suite.params)
    offered: dict[str, list[str]] = {}
    for provider, chat in chats.items():
        try:
            offered[provider] = [model.id for model in await chat.list_models()]
        except Transient:
            offered[provider] = []  # no list, or no provider: the first calls will tell which
    for name, (provider, model, asked, params) in targets.items():
        if offered[provider] and model not in offered[provider]:
            outcome = await chats[provider].complete(model, asked, params)
            if isinstance(outcome, CallFailure) and outcome.error_type == "model_not_found":
                known = [f"{provider}/{each}" for each in offered[provider]]
                raise NotFound("model", name, known, where=f"at provider {provider!r}")
