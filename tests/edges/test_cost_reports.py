"""The providers' cost APIs over real HTTP, against stand-ins that check what they are sent."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from tests.edges.cost_api_stand_in import KEY, CostApis, anthropic_item, openai_item
from tests.edges.source_stand_ins.pulling import StillClock
from tests.edges.source_stand_ins.server import Fault, serving
from watchkeeper.foundation.errors import Misconfigured, NotFound, Transient
from watchkeeper.spending.cost_reports import fetch
from watchkeeper.spending.invoice import Line

FIRST, LAST = date(2026, 11, 20), date(2026, 11, 24)


@pytest.fixture
def apis() -> Iterator[CostApis]:
    with serving(CostApis()) as stand_in:
        yield stand_in


def fetched(apis: CostApis, provider: str, key: str = KEY, **options: Any) -> list[Line]:
    base_url = options.pop("base_url", apis.base_url)
    return fetch(provider, key, FIRST, LAST, base_url=base_url, pace=StillClock().pace())


def test_openais_line_items_become_lines_page_by_page(apis: CostApis) -> None:
    apis.openai = {
        FIRST: [openai_item("gpt-5, cached input", 0.125), openai_item("gpt-5, output", "1.5")],
        LAST: [openai_item("gpt-5, batch input", 0.06), openai_item(None, 2)],
    }
    assert fetched(apis, "openai") == [
        Line(day=FIRST, model="gpt-5", usage="cache_read", nano_usd=125_000_000),
        Line(day=FIRST, model="gpt-5", usage="output", nano_usd=1_500_000_000),
        Line(day=LAST, model="gpt-5", usage="input", nano_usd=60_000_000, batch=True),
        Line(day=LAST, model=None, usage=None, nano_usd=2_000_000_000),
    ]
    assert len(apis.asked) == 3  # five days, two on a page
    assert [asked.params.get("page") for asked in apis.asked].count(None) == 1


def test_anthropics_amounts_are_cents(apis: CostApis) -> None:
    apis.anthropic = {
        FIRST: [
            anthropic_item("claude-opus-5", "cache_read_input_tokens", "123.45"),
            anthropic_item("claude-opus-5", "cache_creation.ephemeral_5m_input_tokens", "0.01", "batch"),
            anthropic_item(None, None, "100"),
        ]
    }
    assert fetched(apis, "anthropic") == [
        Line(day=FIRST, model="claude-opus-5", usage="cache_read", nano_usd=1_234_500_000),
        Line(day=FIRST, model="claude-opus-5", usage="cache_write", nano_usd=100_000, batch=True),
        Line(day=FIRST, model=None, usage=None, nano_usd=1_000_000_000),
    ]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_refused_key_is_one_line_that_does_not_show_it(apis: CostApis, provider: str) -> None:
    with pytest.raises(Misconfigured) as error:
        fetched(apis, provider, "sk-wrong-secret")
    assert f"{provider} costs: the key was refused (401)" in str(error.value)
    assert "administrator's key" in str(error.value)
    assert "sk-wrong-secret" not in str(error.value)


def test_it_waits_and_asks_again_when_it_is_told_to_slow_down_or_the_server_fails(apis: CostApis) -> None:
    apis.openai = {FIRST: [openai_item("gpt-5, input", 1)]}
    apis.fail(Fault(kind=429, retry_after="1"), Fault(kind=500), Fault(kind="cut"))
    assert len(fetched(apis, "openai")) == 1


@pytest.mark.parametrize(
    "page",
    [
        [],
        {},
        {"data": [], "has_more": True, "next_page": None},
        {"data": [], "has_more": True, "next_page": "same"},
        {"data": [{"start_time": 1, "results": [{"amount": None}]}], "has_more": False},
        {"data": [{"start_time": "x", "results": []}], "has_more": False},
        {"data": None, "has_more": False},
        {"data": [{"start_time": 10**20, "results": []}], "has_more": False},
        {"data": [{"start_time": 1, "results": [openai_item("a", "Infinity")]}], "has_more": False},
        {"data": [{"start_time": 1, "results": [openai_item(["a"], 1)]}], "has_more": False},
        {"data": [{"start_time": 1, "results": [openai_item("a", "banana")]}], "has_more": False},
    ],
)
def test_an_answer_that_is_no_costs_may_be_asked_again(apis: CostApis, page: Any) -> None:
    apis.broken_page = page
    with pytest.raises(Transient, match="openai costs: "):
        fetched(apis, "openai")


def test_another_currency_is_not_compared(apis: CostApis) -> None:
    apis.openai = {FIRST: [openai_item("gpt-5, input", 1, "eur")]}
    with pytest.raises(Misconfigured, match="not in USD"):
        fetched(apis, "openai")


def test_a_wrong_address_or_provider_is_one_line(apis: CostApis) -> None:
    with pytest.raises(Misconfigured, match="no such API there"):
        fetched(apis, "openai", base_url=apis.base_url + "/elsewhere")
    with pytest.raises(Misconfigured, match="openai costs --base-url: not a web address"):
        fetched(apis, "openai", base_url="nonsense")
    with pytest.raises(NotFound, match="anthropic, openai"):
        fetched(apis, "mistral")
    apis.fail(*[Fault(kind="html")] * 6)
    with pytest.raises(Transient, match="not JSON"):
        fetched(apis, "openai")
