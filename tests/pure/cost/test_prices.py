"""A list price is known or it is None; never a silent zero."""

from datetime import UTC, datetime

import pytest

from watchkeeper.cost.prices import PriceList
from watchkeeper.providers.interface import Usage

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OPENAI = "https://api.openai.com/v1"


def test_a_known_model_costs_its_list_price_with_cached_tokens_apart() -> None:
    """gpt-4o: $2.50 a million input, $1.25 a million cached."""
    usage = Usage(input=1000, output=0, cache_read=800)
    assert PriceList(OPENAI).cost("gpt-4o", usage, at=NOW) == 1_500_000


def test_the_price_is_that_of_the_day_of_the_call() -> None:
    usage = Usage(input=1_000_000, output=0)
    before = PriceList(OPENAI).cost("o3", usage, at=datetime(2025, 5, 1, tzinfo=UTC))
    assert (before, PriceList(OPENAI).cost("o3", usage, at=NOW)) == (10_000_000_000, 2_000_000_000)


@pytest.mark.parametrize(
    ("url", "model", "usage"),
    [
        (OPENAI, "no-such-model", Usage(input=1, output=1)),
        ("https://llm.example.com/v1", "gpt-4o", Usage(input=1, output=1)),
        ("http://127.0.0.1:8790/v1", "gpt-4o", Usage(input=1, output=1)),
        (OPENAI, "gpt-4o", Usage(input=None, output=1)),
        (OPENAI, "gpt-4o", Usage(input=10, output=1, cache_read=20)),
    ],
)
def test_what_is_not_known_has_no_cost(url: str, model: str, usage: Usage) -> None:
    assert PriceList(url).cost(model, usage, at=NOW) is None
