"""Suites with a judge among their scorers: what is judged, and the scores that come of it."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from watchkeeper.evaluation.judgement import Judgement
from watchkeeper.evaluation.material import Item
from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.evaluation.scorers import Score, ScoreFunction
from watchkeeper.foundation.ids import content_hash
from watchkeeper.foundation.money import total
from watchkeeper.providers.outage import ProviderFailed
from watchkeeper.regression.attempt import Attempts
from watchkeeper.regression.suite import Case, Suite

Judgements = Mapping[str, Sequence[Judgement]]
"""Name of a scorer -> its judgements of one suite's answers, both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCost:
    """What judging one suite cost, whenever it was done.

    Attributes:
        nano_usd: 0 where no judge was asked; None where none of its answers is priced.
        unpriced: Answers of judges without a cost.
    """

    nano_usd: int | None = 0
    unpriced: int = 0


def rubrics_of(suite: Suite) -> list[Rubric]:
    """The rubrics of a suite's scorers, each once."""
    return list({s.rubric.version: s.rubric for s in suite.scorers if s.rubric is not None}.values())


def items_of(suite: Suite, sides: Sequence[Attempts]) -> list[Item]:
    """Every different answer to every case, by whichever side."""
    found: dict[str, Item] = {}
    for case in suite.cases:
        for attempts in sides:
            for repeat in range(suite.repeats):
                attempt = attempts.get((case.id, repeat))
                if attempt is not None and attempt.response is not None:
                    item = _item(case, attempt.response)
                    found[item.id] = item
    return list(found.values())


async def judge_suite(
    suite: Suite, sides: Sequence[Attempts], ask: Callable[[Rubric, Sequence[Item]], Awaitable[Sequence[Judgement]]]
) -> Judgements:
    """Every answer of both sides, judged by every judge among the suite's scorers; a rubric is asked once.

    Raises:
        ProviderFailed: If a judge could not be reached at all: that is no verdict on anybody's answers.
    """
    items = items_of(suite, sides)
    by_version: dict[str, Sequence[Judgement]] = {}
    for rubric in rubrics_of(suite):
        by_version[rubric.version] = found = await ask(rubric, items)
        _was_heard(rubric, found)
    return {s.name: by_version[s.rubric.version] for s in suite.scorers if s.rubric is not None}


def _was_heard(rubric: Rubric, found: Sequence[Judgement]) -> None:
    failed = Counter(each.reason for each in found if (each.reason or "").startswith("failed: "))
    if failed and not any(each.value is not None for each in found):
        [(reason, count)] = failed.most_common(1)
        raise ProviderFailed(
            rubric.provider,
            f"provider {rubric.provider!r} gave none of {len(found)} judgements by {rubric.name!r} ({count} {reason}); "
            "the same command, without --fresh, goes on from here",
        )


def with_judgements(suite: Suite, judgements: Judgements) -> Suite:
    """The same suite, its judges' scores looked up; an answer that was not judged has none, and says why."""
    scorers = tuple(
        replace(scorer, score=_looked_up(judgements[scorer.name])) if scorer.name in judgements else scorer
        for scorer in suite.scorers
    )
    return replace(suite, scorers=scorers)


def cost_of(judgements: Judgements) -> JudgeCost:
    """What all of a suite's judges cost."""
    votes = {(j.version, j.input_hash): j for of_scorer in judgements.values() for j in of_scorer if j.votes}
    if not votes:
        return JudgeCost()
    return JudgeCost(
        nano_usd=total(each.cost_nano_usd for each in votes.values()),
        unpriced=sum(each.unpriced for each in votes.values()),
    )


def _looked_up(judgements: Sequence[Judgement]) -> ScoreFunction:
    known = {each.item_id: each for each in judgements}

    def score(response: str, case: Mapping[str, Any]) -> Score:
        found = known.get(_id(str(case["id"]), response))
        if found is None:
            return Score(value=None, reason="not judged")
        return Score(value=found.value, reason=None if found.reason is None else f"judge: {found.reason}")

    return score


def _id(case_id: str, response: str) -> str:
    """Names one answer to one case without holding it: the id stands in the record of the judge's call."""
    return f"{case_id} {content_hash(response)[7:31]}"


def _item(case: Case, response: str) -> Item:
    fields = case.fields
    return Item(
        id=_id(case.id, response),
        response=response,
        input=_words(fields.get("input")),
        documents=_words(fields.get("documents")),
        reference=_words(fields.get("reference")),
        tool_results=_words(fields.get("tool_results")),
    )


def _words(value: Any) -> str | None:
    """A case's field as a judge reads it: a text as it is, messages by role, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(m, dict) and "content" in m for m in value):
        return "\n\n".join(f"{m.get('role', 'user')}: {_words(m['content'])}" for m in value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "\n\n".join(value)
    return json.dumps(value, ensure_ascii=False)
