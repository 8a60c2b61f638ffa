"""Negotiated rates win by closeness and date; their arithmetic is exact."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.cost.prices import Priced, PriceList, RateCard, Unpriced
from watchkeeper.cost.rates import BUCKETS, Override, Rates, chosen
from watchkeeper.observability.request import Tokens
from watchkeeper.providers.interface import Usage


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOW = day("2026-11-24")


def override(
    model: str, rate: str = "1", *, provider: str = "openai", since: str = "2026-01-01", **rates: Decimal
) -> Override:
    return Override(
        provider=provider,
        model=model,
        effective_from=day(since),
        rates=Rates(input=Decimal(rate), output=Decimal(rate), **rates),
    )


def cost(prices: PriceList, model: str = "gpt-4o", tokens: Tokens | None = None, at: datetime = NOW) -> int | str:
    found = prices.price("openai", model, tokens or Tokens(input=1_000_000, output=0), at=at)
    return found.nano_usd if isinstance(found, Priced) else found.reason


def test_an_override_wins_over_the_list_from_its_day_on() -> None:
    prices = PriceList(overrides=[override("gpt-4o", "2", since="2026-06-01")])
    assert cost(prices, at=day("2026-05-31")) == 2_500_000_000
    assert cost(prices, at=day("2026-06-01")) == 2_000_000_000


def test_the_newest_of_one_pattern_and_the_closest_of_several_decide() -> None:
    written = [
        override("*", "9", provider="*"),
        override("gpt-*", "5", since="2026-10-01"),
        override("gpt-4o", "1"),
        override("gpt-4o", "2", since="2026-02-01"),
        override("gpt-4o", "3", since="2027-01-01"),
    ]
    for order in (written, written[::-1]):
        prices = PriceList(overrides=order)
        assert cost(prices) == 2_000_000_000
        assert cost(prices, "gpt-5") == 5_000_000_000
        assert cost(prices, "gpt-5", at=day("2026-09-30")) == 9_000_000_000


def test_buckets_without_a_rate_are_charged_as_what_they_are_part_of() -> None:
    rates = Rates(input=Decimal(10), output=Decimal(20), cache_read=Decimal(1), per_request=Decimal("0.5"))
    tokens = Tokens(input=10, cache_read=10, cache_write=10, output=10, reasoning=10)
    million = Decimal(1_000_000)
    assert rates.dollars(tokens) == {
        "per_request": Decimal("0.5"), "input": 100 / million, "cache_read": 10 / million,
        "cache_write": 100 / million, "output": 200 / million, "reasoning": 200 / million,
    }  # fmt: skip


def test_your_own_free_model_is_free_and_the_lists_is_not_known() -> None:
    tokens = Tokens(input=10, output=10)
    free = [override("llama*", "0", provider="*")]
    found = PriceList(overrides=free).price("local", "llama3", tokens, at=NOW)
    assert isinstance(found, Priced)
    assert found.nano_usd == 0
    listed = PriceList().price("openrouter", "meta-llama/llama-3.3-70b-instruct:free", tokens, at=NOW)
    assert isinstance(listed, Unpriced)
    assert listed.reason == "zero_price"


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "reason"),
    [
        ("openai", "no-such-model", Tokens(input=1, output=1), "unknown_model"),
        ("no-such-provider", "gpt-4o", Tokens(input=1, output=1), "unknown_model"),
        (None, None, Tokens(input=1, output=1), "unknown_model"),
        ("openai", "gpt-4o", Tokens(), "no_usage"),
        ("openai", "gpt-4o", Tokens(input=0, output=0), "no_usage"),
        ("openai", "gpt-4o", Tokens(output=5), "no_usage"),
        ("openai", "gpt-4o", Tokens(input=5), "no_usage"),
        ("openai", "gpt-4o", Tokens(input=-5, output=1), "suspect"),
        ("openai", "gpt-4o", Tokens(input=2**53, output=2**53), "suspect"),
    ],
)
def test_what_is_not_known_has_a_reason(provider: str | None, model: str | None, tokens: Tokens, reason: str) -> None:
    found = PriceList().price(provider, model, tokens, at=NOW)
    assert isinstance(found, Unpriced)
    assert (found.reason, bool(found.detail)) == (reason, True)


def test_a_model_that_only_reads_needs_no_output_count() -> None:
    found = PriceList().price("openai", "text-embedding-3-small", Tokens(input=1_000_000), at=NOW)
    assert isinstance(found, Priced)
    assert found.nano_usd == 20_000_000


def test_a_tier_has_its_own_price_or_none() -> None:
    """gpt-5 has a flex price; gpt-4o has none, which the library would charge as the standard tier."""
    tokens = Tokens(input=1_000_000, output=0)

    def asked(model: str, tier: str | None) -> int | str:
        found = PriceList().price("openai", model, tokens, at=NOW, tier=tier)
        return found.nano_usd if isinstance(found, Priced) else found.reason

    assert asked("gpt-5", "default") == asked("gpt-5", None) == 1_250_000_000
    assert asked("gpt-5", "flex") == 625_000_000
    assert asked("gpt-4o", "batch") == 1_250_000_000
    assert asked("gpt-4o", "flex") == asked("gpt-4o", "turbo") == "unknown_model"


def test_an_override_is_for_our_own_calls_too() -> None:
    own = [override("gpt-4o", "2", provider="replay")]
    prices = PriceList("http://127.0.0.1:8790/v1", provider="replay", overrides=own)
    assert prices.cost("gpt-4o", Usage(input=1_000_000, output=0), at=NOW) == 2_000_000_000


def test_a_card_shows_the_rates_their_steps_and_their_source() -> None:
    listed = PriceList().card("google", "gemini-2.5-pro", at=NOW)
    assert isinstance(listed, RateCard)
    assert listed.usd_per_million["input"] == Decimal("1.25")
    assert listed.steps["input"] == [(200_000, Decimal("2.5"))]
    assert listed.source.startswith("genai-prices ")
    own = PriceList(overrides=[override("gemini-*", "1", provider="google")]).card("google", "gemini-2.5-pro", at=NOW)
    assert isinstance(own, RateCard)
    assert (own.source, own.usd_per_million["reasoning"]) == ("override", Decimal(1))
    assert isinstance(PriceList().card("google", "no-such", at=NOW), Unpriced)


def test_the_version_changes_with_the_overrides() -> None:
    versions = {PriceList(overrides=each).version for each in ([], [override("a")], [override("a", "2")])}
    assert len(versions) == 3


def test_a_rate_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="must be finite and >= 0"):
        Rates(input=Decimal(-1))


RATE = st.one_of(st.none(), st.decimals(0, 1000, places=6))
COUNT = st.one_of(st.none(), st.integers(0, 10**7))


@given(st.tuples(RATE, RATE, RATE, RATE, RATE), st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT))
def test_a_cost_is_the_exact_sum_of_its_buckets_and_never_below_zero(
    rates: tuple[Decimal | None, ...], counts: tuple[int | None, ...]
) -> None:
    card = Rates(**dict(zip(BUCKETS, rates, strict=True)))  # type: ignore[arg-type]
    tokens = Tokens(**dict(zip(BUCKETS, counts, strict=True)))
    own = Override(provider="*", model="*", effective_from=day("2020-01-01"), rates=card)
    found = PriceList(overrides=[own]).price("x", "y", tokens, at=NOW)
    parts = card.dollars(tokens)
    if isinstance(found, Unpriced):
        assert parts is None or tokens.input is None or not any(counts) or tokens.wire_output is None
        return
    assert parts is not None
    assert found.nano_usd >= 0
    exact = sum(parts.values(), Decimal(0)) * 1_000_000_000
    assert abs(found.nano_usd - exact) <= Decimal("0.5")
    assert all(part >= 0 for part in parts.values())


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_list_prices_are_never_below_zero_and_a_token_more_never_costs_less(
    fresh: int, read: int, out: int, reasoning: int
) -> None:
    prices = PriceList()
    less = cost(prices, "gpt-5", Tokens(input=fresh, cache_read=read, output=out, reasoning=reasoning))
    more = cost(prices, "gpt-5", Tokens(input=fresh, cache_read=read, output=out + 1, reasoning=reasoning))
    assert isinstance(less, int)
    assert isinstance(more, int)
    assert 0 <= less < more


def test_no_override_is_chosen_before_its_time_or_for_another_provider() -> None:
    own = [override("gpt-*", provider="OpenAI", since="2026-06-01")]
    assert chosen(own, "openai", "gpt-4o", NOW) is own[0]
    assert chosen(own, "openai", "gpt-4o", day("2026-05-31")) is None
    assert chosen(own, "azure", "gpt-4o", NOW) is None
    assert chosen(own, None, "gpt-4o", NOW) is None
