"""Usage reports of every provider as disjoint buckets; shapes as their APIs and SDKs give them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.cost.prices import Priced, PriceList, Unpriced
from watchkeeper.cost.usage import CONVENTIONS, counted
from watchkeeper.foundation.money import nano_usd
from watchkeeper.observability.request import Tokens

AT = datetime(2026, 11, 24, tzinfo=UTC)

OPENAI_CHAT = {
    "completion_tokens": 30, "prompt_tokens": 120, "total_tokens": 150,
    "completion_tokens_details": {
        "accepted_prediction_tokens": 0, "audio_tokens": 0, "reasoning_tokens": 10, "rejected_prediction_tokens": 0},
    "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 100},
}  # fmt: skip
OPENAI_RESPONSES = {
    "input_tokens": 120, "input_tokens_details": {"cached_tokens": 100}, "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 150,
}  # fmt: skip
ANTHROPIC = {
    "input_tokens": 20, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 100, "output_tokens": 40,
    "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 0}, "service_tier": "standard",
}  # fmt: skip
GEMINI = {
    "promptTokenCount": 120, "cachedContentTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 10,
    "toolUsePromptTokenCount": 5, "totalTokenCount": 155,
}  # fmt: skip
BEDROCK = {
    "inputTokens": 20, "outputTokens": 40, "totalTokens": 190, "cacheReadInputTokens": 100,
    "cacheWriteInputTokens": 30, "cacheDetails": [],
}  # fmt: skip
MISTRAL = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19, "prompt_audio_seconds": None}

SHAPES = [
    ("openai.chat", OPENAI_CHAT, Tokens(input=20, cache_read=100, output=20, reasoning=10), "openai", "gpt-5"),
    ("openai.responses", OPENAI_RESPONSES, Tokens(input=20, cache_read=100, output=20, reasoning=10), "openai", "o3"),
    ("anthropic", ANTHROPIC, Tokens(input=20, cache_read=100, cache_write=30, output=40),
     "anthropic", "claude-sonnet-4-5-20250929"),
    ("gemini", GEMINI, Tokens(input=25, cache_read=100, output=20, reasoning=10), "gcp.gemini", "gemini-2.5-pro"),
    ("bedrock.converse", BEDROCK, Tokens(input=20, cache_read=100, cache_write=30, output=40),
     "aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("mistral", MISTRAL, Tokens(input=12, output=7), "mistral_ai", "mistral-large-latest"),
    ("openai.chat", OPENAI_CHAT, Tokens(input=20, cache_read=100, output=20, reasoning=10), "azure", "gpt-4o"),
    ("openai.chat", {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}, Tokens(input=12, output=7),
     "groq", "llama-3.3-70b-versatile"),
    ("openai.chat", {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}, Tokens(input=12, output=7),
     "deepseek", "deepseek-chat"),
    ("openai.chat", {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}, Tokens(input=12, output=7),
     "x_ai", "grok-4-0709"),
]  # fmt: skip


@pytest.mark.parametrize(("convention", "usage", "tokens", "provider", "model"), SHAPES)
def test_a_recorded_report_becomes_disjoint_buckets_and_has_a_price(
    convention: str, usage: dict[str, Any], tokens: Tokens, provider: str, model: str
) -> None:
    found = counted(usage, CONVENTIONS[convention])
    assert (found.tokens, found.suspect) == (tokens, "")
    priced = PriceList().price(provider, model, found.tokens, at=AT)
    assert isinstance(priced, Priced), priced
    assert priced.nano_usd > 0


def test_one_report_costs_the_sum_of_its_buckets_at_the_published_rates() -> None:
    """Claude Sonnet 4.5: $3 in, $0.30 from and $3.75 into the cache, $15 out, a million."""
    priced = PriceList().price(
        "anthropic", "claude-sonnet-4-5-20250929", counted(ANTHROPIC, CONVENTIONS["anthropic"]).tokens, at=AT
    )
    dollars = (20 * 3 + 100 * Decimal("0.3") + 30 * Decimal("3.75") + 40 * 15) / 1_000_000
    assert isinstance(priced, Priced)
    assert priced.nano_usd == nano_usd(dollars)


@pytest.mark.parametrize(
    ("convention", "usage"),
    [
        ("openai.chat", OPENAI_CHAT | {"prompt_tokens": 99}),
        ("openai.chat", OPENAI_CHAT | {"completion_tokens": 9}),
        ("openai.chat", OPENAI_CHAT | {"total_tokens": 151}),
        ("openai.chat", OPENAI_CHAT | {"prompt_tokens": -1}),
        ("openai.chat", OPENAI_CHAT | {"prompt_tokens": "120"}),
        ("gemini", GEMINI | {"totalTokenCount": 150}),
        ("bedrock.converse", BEDROCK | {"totalTokens": 60}),
    ],
)
def test_buckets_that_do_not_add_up_are_suspect_and_have_no_cost(convention: str, usage: dict[str, Any]) -> None:
    found = counted(usage, CONVENTIONS[convention])
    assert found.suspect
    price = PriceList().price("openai", "gpt-5", found.tokens, at=AT, suspect=found.suspect)
    assert isinstance(price, Unpriced)
    assert price.reason == "suspect"


def test_what_is_not_reported_is_not_zero() -> None:
    assert counted({}, CONVENTIONS["openai.chat"]).tokens == Tokens()
    assert counted({"prompt_tokens": 5}, CONVENTIONS["openai.chat"]).tokens == Tokens(input=5)


COUNT = st.one_of(st.none(), st.integers(0, 10**7))


@given(st.sampled_from(sorted(CONVENTIONS)), st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT))
def test_disjoint_buckets_add_up_to_the_report(name: str, figures: tuple[int | None, ...]) -> None:
    """Whatever an API says: either it is suspect, or every token of it is in exactly one bucket."""
    convention = CONVENTIONS[name]
    usage: dict[str, Any] = {}
    told: dict[str, int | None] = dict(
        zip(("input", "output", "cache_read", "cache_write", "reasoning"), figures, strict=True)
    )
    for bucket, paths in convention.paths.items():
        *folders, key = paths[0].split(".")
        inside = usage
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[key] = told[bucket]
    usage = json.loads(json.dumps(usage))
    found = counted(usage, convention)
    buckets = {b: getattr(found.tokens, b) for b in told}
    assert all(n is None or n >= 0 for n in buckets.values())
    if found.suspect:
        return
    for whole, parts in (("input", ("cache_read", "cache_write")), ("output", ("reasoning",))):
        if told[whole] is None:
            continue
        apart = sum(told[p] or 0 for p in parts if p in convention.paths and p not in convention.includes)
        assert (buckets[whole] or 0) + sum(buckets[p] or 0 for p in parts) == (told[whole] or 0) + apart
