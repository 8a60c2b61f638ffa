"""Judgements in a store: kept, found again, never missing; every call a record with its cost."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.cost.own_calls import Price
from watchkeeper.database.engine import Store
from watchkeeper.evaluation.judgement import Judgement
from watchkeeper.evaluation.live import item_of
from watchkeeper.evaluation.material import Item
from watchkeeper.evaluation.rubric import Rubric, RubricShelf
from watchkeeper.evaluation.service import judge
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.observability.masking import Redactor
from watchkeeper.observability.redact import Policy
from watchkeeper.observability.request import Request, Retrieval, ToolCall
from watchkeeper.observability.service import export_requests
from watchkeeper.providers.connect import ProviderConfig
from watchkeeper.providers.interface import CallFailure, Completion, Message, OfferedModel, Usage

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
PROVIDER = ProviderConfig(name="p", kind="openai", base_url="http://127.0.0.1:1/v1", concurrency=4)


class Judge:
    """Gives one answer to everything."""

    def __init__(self, answer: str | CallFailure = '{"reason": "It answers.", "score": 4}') -> None:
        self.answer, self.calls, self.params = answer, 0, {}  # type: ignore[var-annotated]

    async def complete(self, model: str, messages: Sequence[Message], params: Mapping[str, Any]) -> Any:
        self.calls += 1
        self.params = dict(params)
        if isinstance(self.answer, CallFailure):
            return self.answer
        return Completion(
            text=self.answer,
            model_served="m-2026",
            finish_reason="stop",
            usage=Usage(input=100, output=20, cache_read=60),
            latency_ms=250.0,
        )

    async def list_models(self) -> list[OfferedModel]:
        return []

    async def aclose(self) -> None:
        pass


def rubric(folder: Path, *front: str) -> Rubric:
    text = "\n".join(["---", "scale: 1-5", "model: p/m", "params: {temperature: 0}", *front, "---", "Is it right?"])
    (folder / "tone.md").write_text(text)
    return RubricShelf(folder=folder).read("tone")


def items(count: int) -> list[Item]:
    return [Item(id=f"t-{n}", input="q", response=f"answer {n}") for n in range(count)]


def judged(
    store: Store, given: Sequence[Item], used: Rubric, model: Judge, price: Price = lambda _: 5_000, **more: Any
) -> list[Judgement]:
    return asyncio.run(
        judge(
            store,
            given,
            rubric=used,
            chat=model,
            provider=PROVIDER,
            price=price,
            clock=FrozenClock(NOW),
            **more,
        )
    )


def test_a_second_time_nobody_is_asked_and_the_judgements_are_the_same(store: Store, tmp_path: Path) -> None:
    model, used = Judge(), rubric(tmp_path)
    first = judged(store, items(1_200), used, model)
    again = judged(store, items(1_200), used, model)
    assert model.calls == 1_200
    assert [(j.value, j.label, j.explanation, j.cost_nano_usd, j.model_served) for j in again] == [
        (j.value, j.label, j.explanation, j.cost_nano_usd, j.model_served) for j in first
    ]
    assert {j.calls for j in again} == {0}


def test_another_version_of_the_rubric_asks_anew(store: Store, tmp_path: Path) -> None:
    model = Judge()
    judged(store, items(2), rubric(tmp_path), model)
    judged(store, items(2), rubric(tmp_path, "votes: 3"), model)
    assert model.calls == 2 + 6


def test_fresh_asks_again_and_what_is_known_stays(store: Store, tmp_path: Path) -> None:
    used = rubric(tmp_path)
    judged(store, items(1), used, Judge())
    [fresh] = judged(store, items(1), used, Judge('{"reason": "No.", "score": 1}'), fresh=True)
    [known] = judged(store, items(1), used, Judge())
    assert (fresh.value, known.value) == (0.0, 0.75)


@pytest.mark.parametrize("answer", ["4!", CallFailure(error_type="timeout", message="m")])
def test_a_missing_judgement_is_never_kept(store: Store, tmp_path: Path, answer: Any) -> None:
    used = rubric(tmp_path)
    [missing] = judged(store, items(1), used, Judge(answer))
    [found] = judged(store, items(1), used, Judge())
    assert missing.value is None
    assert found.value == 0.75


def test_every_call_is_a_record_with_its_cost_and_says_what_was_judged(store: Store, tmp_path: Path) -> None:
    used = rubric(tmp_path)
    judged(store, items(1), used, Judge())
    [record] = export_requests(store)
    [call] = record.calls
    assert (record.source, record.route, record.attributes["judged"]) == ("judge", "judge.tone", "t-0")
    assert record.attributes["judge_version"] == used.version
    assert (call.provider, call.model_requested, call.model_served) == ("p", "m", "m-2026")
    assert (call.cost_nano_usd, call.latency_ms, call.finish_reason) == (5_000, 250.0, "stop")
    assert (call.tokens.wire_input, call.tokens.cache_read, call.tokens.output) == (100, 60, 20)
    assert call.params["temperature"] == 0
    assert [message["role"] for message in call.messages] == ["system", "user"]
    assert "answer 0" in call.messages[1]["content"]


def test_a_call_that_failed_or_could_not_be_read_is_a_record_too(store: Store, tmp_path: Path) -> None:
    used = rubric(tmp_path)
    judged(store, items(1), used, Judge(CallFailure(error_type="timeout", message="m")))
    judged(store, items(1), used, Judge("4!"))
    records = list(export_requests(store))
    assert sorted((r.error_type or "", r.response or "") for r in records) == [("", "4!")] * 3 + [("timeout", "")]
    assert len({r.trace_id for r in records}) == 4


def test_a_call_without_a_price_is_unpriced_and_not_free(store: Store, tmp_path: Path) -> None:
    [found] = judged(store, items(1), rubric(tmp_path), Judge(), price=lambda _: None)
    [record] = export_requests(store)
    assert (found.cost_nano_usd, found.unpriced, record.calls[0].cost_nano_usd) == (None, 1, None)


def test_what_a_policy_masks_is_not_in_the_record_of_the_judge(store: Store, tmp_path: Path) -> None:
    policy = Policy(redactor=Redactor({}), content="full", routes={}, secret=None, keep=frozenset())
    item = Item(id="t", input="q", response="Write to anna@example.org")
    judged(store, [item], rubric(tmp_path), Judge(), policy=policy)
    [record] = export_requests(store)
    assert "anna@example.org" not in str(record)


def request(**fields: Any) -> Request:
    return Request(trace_id="a" * 32, span_id="b" * 16, started_at=NOW, route="r", **fields)


def test_a_stored_request_is_an_item_by_its_trace_id() -> None:
    found = item_of(
        request(
            input="q",
            response="a",
            retrievals=[
                Retrieval(span_id="1", documents=[{"id": "d-1", "text": "Two years."}, {"id": "d-2", "score": 0.3}])
            ],
            tool_calls=[
                ToolCall(span_id="2", name="lookup", arguments={"id": 7}, result={"state": "sent"}),
                ToolCall(span_id="3", name="lookup", arguments="8", error_type="timeout"),
            ],
        )
    )
    assert (found.id, found.input, found.response) == ("a" * 32, "q", "a")
    assert found.documents == "Document d-1:\nTwo years."
    assert found.tool_results == 'lookup({"id": 7}) returned: {"state": "sent"}\n\nlookup(8) returned: failed: timeout'


def test_what_a_record_does_not_hold_is_missing_and_a_search_that_found_nothing_is_empty() -> None:
    assert item_of(request()) == Item(id="a" * 32, response=None)
    only_scores = [Retrieval(span_id="1", documents=[{"id": "d", "score": 0.9}])]
    assert item_of(request(retrievals=only_scores)).documents is None
    assert item_of(request(retrievals=[Retrieval(span_id="1")])).documents == ""
