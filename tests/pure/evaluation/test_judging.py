"""Judging many items: who is asked, how often, and what is kept when something stops it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.evaluation.judgement import Judgement, Vote
from watchkeeper.evaluation.judging import Key, MadeCall, RetryBudget, judge_all
from watchkeeper.evaluation.material import Item
from watchkeeper.evaluation.rubric import Rubric, RubricShelf
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.foundation.errors import Misconfigured, NotFound
from watchkeeper.providers.interface import CallFailure, Completion, Message, OfferedModel
from watchkeeper.providers.outage import ProviderFailed

GOOD = '{"reason": "It answers.", "score": 4}'
NOW = datetime(2026, 11, 25, tzinfo=UTC)
Answer = str | CallFailure


class Judge:
    """A judge whose answers the test writes: (number of the call, its last message) -> an answer."""

    def __init__(self, answer: Callable[[int, str], Answer]) -> None:
        self.answer, self.calls, self.answered = answer, 0, 0

    async def complete(self, model: str, messages: Sequence[Message], params: Mapping[str, Any]) -> Any:
        self.calls += 1
        given = self.answer(self.calls, messages[1]["content"])
        await asyncio.sleep(0)
        self.answered += 1
        return given if isinstance(given, CallFailure) else Completion(text=given, finish_reason="stop", latency_ms=1)

    async def list_models(self) -> list[OfferedModel]:
        raise AssertionError("nobody asked for the list")

    async def aclose(self) -> None:
        pass


class Kept:
    """What was handed on, as a store would keep it."""

    def __init__(self) -> None:
        self.votes: dict[Key, Vote] = {}
        self.missing: list[Vote] = []
        self.calls: list[MadeCall] = []

    def add(self, votes: Sequence[Vote], calls: Sequence[MadeCall]) -> None:
        self.calls += calls
        for vote in votes:
            if vote.reading.value is None:
                self.missing.append(vote)
            else:
                self.votes[vote.input_hash, vote.number] = vote

    def known(self, hashes: Iterable[str]) -> Mapping[Key, Vote]:
        wanted = set(hashes)
        return {key: vote for key, vote in self.votes.items() if key[0] in wanted}


def rubric(folder: Path, votes: int = 1) -> Rubric:
    (folder / "r.md").write_text(f"---\nscale: 1-5\nmodel: p/m\nvotes: {votes}\n---\nIs it right?\n")
    return RubricShelf(folder=folder).read("r")


def items(count: int) -> list[Item]:
    return [Item(id=f"t-{n}", input="q", response=f"answer {n}") for n in range(count)]


def judged(
    given: Sequence[Item],
    used: Rubric,
    judge: Judge,
    kept: Kept,
    *,
    budget: RetryBudget | None = None,
    cost: int | None = 7,
) -> list[Judgement]:
    return asyncio.run(
        judge_all(
            given,
            rubric=used,
            chat=judge,
            wire="openai",
            price=lambda _: cost,
            concurrency=4,
            clock=FrozenClock(NOW),
            known=kept.known,
            on_done=kept.add,
            budget=budget,
        )
    )


def test_every_item_has_its_judgement_in_its_place(tmp_path: Path) -> None:
    def answer(_: int, asked: str) -> str:
        return GOOD if "answer 1" in asked else '{"reason": "No.", "score": 1}'

    found = judged(items(3), rubric(tmp_path), Judge(answer), Kept())
    assert [(j.item_id, j.value, j.label) for j in found] == [("t-0", 0.0, "1"), ("t-1", 0.75, "4"), ("t-2", 0.0, "1")]
    assert {j.cost_nano_usd for j in found} == {7}


def test_what_is_known_is_not_asked_again(tmp_path: Path) -> None:
    judge, kept, used = Judge(lambda *_: GOOD), Kept(), rubric(tmp_path)
    judged(items(5), used, judge, kept)
    again = judged(items(6), used, judge, kept)
    assert judge.calls == 6
    assert [j.calls for j in again] == [0, 0, 0, 0, 0, 1]
    assert [j.value for j in again] == [0.75] * 6


def test_items_that_read_the_same_are_judged_once(tmp_path: Path) -> None:
    judge = Judge(lambda *_: GOOD)
    twins = [Item(id=name, input="q", response="the same") for name in ("a", "b")]
    found = judged(twins, rubric(tmp_path), judge, Kept())
    assert judge.calls == 1
    assert [j.value for j in found] == [0.75, 0.75]


def test_an_item_that_cannot_be_judged_costs_nothing_and_says_why(tmp_path: Path) -> None:
    judge = Judge(lambda *_: GOOD)
    [found] = judged([Item(id="t", input="q", response=None)], rubric(tmp_path), judge, Kept())
    assert (found.value, found.reason, judge.calls) == (None, "no response", 0)


def test_an_answer_that_cannot_be_read_is_asked_for_again_and_both_calls_are_paid(tmp_path: Path) -> None:
    judge, kept = Judge(lambda n, _: "4!" if n == 1 else GOOD), Kept()
    [found] = judged(items(1), rubric(tmp_path), judge, kept)
    assert (found.value, found.calls, found.cost_nano_usd) == (0.75, 2, 14)
    assert [call.attempt for call in kept.calls] == [1, 2]


def test_an_answer_that_stays_unreadable_is_missing_and_not_kept_as_known(tmp_path: Path) -> None:
    judge, kept, used = Judge(lambda *_: "4!"), Kept(), rubric(tmp_path)
    [found] = judged(items(1), used, judge, kept)
    assert (found.value, found.reason, found.calls) == (None, "unparsable", 3)
    assert kept.votes == {}
    judge.answer = lambda *_: GOOD
    assert judged(items(1), used, judge, kept)[0].value == 0.75


def test_retries_end_with_their_budget(tmp_path: Path) -> None:
    judge = Judge(lambda *_: "4!")
    found = judged(items(40), rubric(tmp_path), judge, Kept(), budget=RetryBudget(share=0.25, floor=2))
    assert judge.calls == 40 + 10
    assert {j.reason for j in found} == {"unparsable"}


def test_a_call_that_failed_was_tried_again_below_and_is_missing_here(tmp_path: Path) -> None:
    judge = Judge(lambda *_: CallFailure(error_type="timeout", message="m"))
    [found] = judged(items(1), rubric(tmp_path), judge, Kept())
    assert (found.value, found.reason, judge.calls, found.cost_nano_usd) == (None, "failed: timeout", 1, None)


def test_a_cost_that_is_not_known_stays_unknown_and_is_counted(tmp_path: Path) -> None:
    [found] = judged(items(1), rubric(tmp_path), Judge(lambda *_: GOOD), Kept(), cost=None)
    assert (found.cost_nano_usd, found.unpriced) == (None, 1)


def test_three_votes_are_three_calls_and_their_spread_is_told(tmp_path: Path) -> None:
    scores = iter((1, 5, 4))
    judge = Judge(lambda *_: f'{{"reason": "x", "score": {next(scores)}}}')
    [found] = judged(items(1), rubric(tmp_path, votes=3), judge, Kept())
    assert (found.value, found.spread, sorted(v for v in found.votes if v is not None)) == (0.75, 1.0, [0.0, 0.75, 1.0])
    assert (judge.calls, found.cost_nano_usd) == (3, 21)


@pytest.mark.parametrize(
    ("error_type", "raised"),
    [("model_not_found", NotFound), ("auth", Misconfigured), ("quota_exhausted", ProviderFailed)],
)
def test_when_asking_is_pointless_it_stops_and_what_was_paid_for_is_kept(
    tmp_path: Path, error_type: str, raised: type[Exception]
) -> None:
    judge = Judge(lambda n, _: GOOD if n <= 10 else CallFailure(error_type=error_type, message="m"))
    kept = Kept()
    with pytest.raises(raised):
        judged(items(100), rubric(tmp_path), judge, kept)
    assert judge.calls < 30
    assert len(kept.votes) == 10
    assert len(kept.calls) == judge.calls


def cancelled(count: int, used: Rubric, kept: Kept, *, at: int, good: int) -> Judge:
    """A run that is cancelled during its call number `at`; the first `good` answers can be read."""

    async def run() -> Judge:
        def answer(n: int, _: str) -> Answer:
            if n == at:
                task.cancel()
            return "4!" if n > good else GOOD

        judge = Judge(answer)
        task = asyncio.ensure_future(
            judge_all(
                items(count),
                rubric=used,
                chat=judge,
                wire="openai",
                price=lambda _: 7,
                concurrency=4,
                clock=FrozenClock(NOW),
                known=kept.known,
                on_done=kept.add,
            )
        )
        with pytest.raises(asyncio.CancelledError):
            await task
        return judge

    return asyncio.run(run())


def test_a_cancelled_run_keeps_every_vote_and_every_call_it_paid_for(tmp_path: Path) -> None:
    kept = Kept()
    judge = cancelled(500, rubric(tmp_path), kept, at=21, good=12)
    assert len(kept.votes) == 12
    assert len(kept.calls) == judge.answered > len(kept.votes) + len(kept.missing)


def test_calls_of_votes_that_were_cut_short_between_two_tries_are_kept_too(tmp_path: Path) -> None:
    kept = Kept()
    judge = cancelled(4, rubric(tmp_path), kept, at=6, good=0)
    assert (kept.votes, kept.missing) == ({}, [])
    assert len(kept.calls) == judge.answered >= 4
