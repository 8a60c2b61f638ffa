"""A judge over real HTTP: both wires, refusals, cut answers, limits."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.edges.provider_stand_in import (
    KEY,
    Provider,
    Reply,
    anthropic_message,
    chat_completion,
    openai_error,
    provider_stand_in,
)
from watchkeeper.database.engine import Store
from watchkeeper.evaluation.judgement import Judgement
from watchkeeper.evaluation.material import Item
from watchkeeper.evaluation.rubric import Rubric, RubricShelf
from watchkeeper.evaluation.service import judge
from watchkeeper.foundation.clock import SystemClock
from watchkeeper.observability.service import export_requests
from watchkeeper.providers.connect import ProviderConfig, connect
from watchkeeper.providers.outage import ProviderFailed
from watchkeeper.providers.retry import RetryPolicy

GOOD = '{"reason": "It answers.", "score": 4}'


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Callable[[], Provider]]:
    with provider_stand_in() as anew:
        yield anew


@pytest.fixture
def provider(stand_in: Callable[[], Provider]) -> Provider:
    return stand_in()


def rubric(folder: Path, name: str = "r") -> Rubric:
    (folder / f"{name}.md").write_text(f"---\nscale: 1-5\nmodel: p/m-1\n---\nIs it right? ({name})\n")
    return RubricShelf(folder=folder).read(name)


def items(count: int = 1) -> list[Item]:
    return [Item(id=f"t-{n}", input="q", response=f"answer {n}") for n in range(count)]


def judged(
    store: Store, work: Sequence[tuple[Rubric, Sequence[Item]]], provider: Provider, **more: Any
) -> list[list[Judgement]]:
    config = ProviderConfig(
        name="p",
        kind=more.pop("kind", "openai"),
        base_url=provider.base_url,
        api_key=KEY,
        concurrency=more.pop("concurrency", 10),
        timeout_s=more.pop("timeout_s", 10.0),
    )

    async def run() -> list[list[Judgement]]:
        chat = connect(config, policy=RetryPolicy(max_retries=1, base_s=0.01))
        try:
            return await asyncio.gather(
                *(
                    judge(store, given, rubric=used, chat=chat, provider=config, price=lambda _: 1, clock=SystemClock())
                    for used, given in work
                )
            )
        finally:
            await chat.aclose()

    return asyncio.run(run())


def test_the_judge_is_asked_for_the_form_and_its_answer_is_read(
    sqlite_store: Store, provider: Provider, tmp_path: Path
) -> None:
    provider.always = Reply(body=chat_completion(GOOD))
    [[found]] = judged(sqlite_store, [(rubric(tmp_path), items())], provider)
    assert (found.label, found.explanation, found.model_served) == ("4", "It answers.", "m-1-2026-08-01")
    assert provider.asked[0].body["response_format"]["json_schema"]["strict"] is True


def test_a_model_that_takes_no_form_is_asked_without_it(
    sqlite_store: Store, provider: Provider, tmp_path: Path
) -> None:
    provider.then(openai_error(400, "unsupported_parameter", param="response_format"))
    provider.always = Reply(body=chat_completion(GOOD))
    [[found]] = judged(sqlite_store, [(rubric(tmp_path), items())], provider)
    assert found.value == 0.75
    assert "response_format" not in provider.asked[1].body


def test_anthropic_s_wire_carries_the_rubric_as_its_system_prompt(
    sqlite_store: Store, provider: Provider, tmp_path: Path
) -> None:
    provider.always = Reply(body=anthropic_message([{"type": "text", "text": GOOD}]))
    [[found]] = judged(sqlite_store, [(rubric(tmp_path), items())], provider, kind="anthropic")
    [asked] = provider.asked
    assert found.value == 0.75
    assert "Is it right?" in asked.body["system"]
    assert "response_format" not in asked.body
    assert [message["role"] for message in asked.body["messages"]] == ["user"]


def stopped(content: str | None, finish_reason: str, **message: Any) -> Reply:
    body = chat_completion(content, **message)
    body["choices"][0]["finish_reason"] = finish_reason
    return Reply(body=body)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (stopped('{"reason": "It', "length"), "truncated"),
        (stopped(None, "content_filter"), "refused"),
        (stopped(None, "stop", refusal="I'm sorry, I can't assist with that."), "refused"),
        (stopped("Four of five.", "stop"), "unparsable"),
        (openai_error(400, "content_filter"), "refused"),
        (openai_error(400, "context_length_exceeded"), "too long"),
        (openai_error(500, None), "failed: server_error"),
        (Reply(kind="cut", body=chat_completion(GOOD)), "failed: connect"),
        (Reply(kind="hang"), "failed: timeout"),
    ],
)
def test_whatever_goes_wrong_is_missing_with_its_reason_and_is_on_record(
    sqlite_store: Store, provider: Provider, tmp_path: Path, reply: Reply, reason: str
) -> None:
    provider.always = reply
    [[found]] = judged(sqlite_store, [(rubric(tmp_path), items())], provider, timeout_s=0.3)
    assert (found.value, found.reason) == (None, reason)
    records = list(export_requests(sqlite_store))
    assert {record.route for record in records} == {"judge.r"}
    assert len(records) == found.calls


def test_rubrics_of_one_provider_share_its_limit(sqlite_store: Store, provider: Provider, tmp_path: Path) -> None:
    provider.always = Reply(body=chat_completion(GOOD), hold_s=0.02)
    work = [(rubric(tmp_path, name), items(20)) for name in ("one", "two", "three")]
    found = judged(sqlite_store, work, provider, concurrency=4)
    assert [len(each) for each in found] == [20, 20, 20]
    assert provider.most_at_once == 4


def test_a_used_up_quota_stops_the_judging_and_the_next_run_pays_only_for_the_rest(
    sqlite_store: Store, provider: Provider, tmp_path: Path
) -> None:
    used = rubric(tmp_path)
    provider.then(*[Reply(body=chat_completion(GOOD))] * 5)
    provider.always = openai_error(429, "insufficient_quota")
    with pytest.raises(ProviderFailed, match="provider 'p'"):
        judged(sqlite_store, [(used, items(20))], provider, concurrency=1)
    provider.always = Reply(body=chat_completion(GOOD))
    asked_before = len(provider.asked)
    [found] = judged(sqlite_store, [(used, items(20))], provider)
    assert [each.value for each in found] == [0.75] * 20
    assert len(provider.asked) - asked_before == 15
