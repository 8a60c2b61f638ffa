"""A change of cost in parts: exact sums, and each part alone where only one thing changed."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.stats.cost_change import FACTORS, Spent, attribute

PRICES = {"a": {"input": 2_500, "cache_read": 250, "output": 10_000}, "b": {"input": 150, "output": 600}}


def call(window, *, route="r", model="a", tokens=None, price=1.0, failed=False):
    tokens = tokens or {"input": 1000, "output": 200}
    cost = round(price * sum(PRICES[model].get(kind, PRICES[model]["input"]) * n for kind, n in tokens.items()))
    return Spent(window=window, route=route, model=model, tokens=tokens, cost_nano_usd=cost, failed=failed)


def varied(window, n, *, seed=1, longer=1, **options):
    rng = random.Random(seed)
    return [
        call(window, tokens={"input": rng.randrange(100, 3000), "output": longer * rng.randrange(20, 500)}, **options)
        for _ in range(n)
    ]


def only(found, factor):
    """Whether one factor has the whole change, to a millionth of it."""
    slack = max(2, abs(found.change) // 10**6)
    return all(abs(part) <= slack for name, part in found.parts.items() if name != factor) and found.change != 0


@pytest.mark.parametrize(
    ("factor", "after"),
    [
        ("volume", varied("after", 100) + varied("after", 100)),
        ("tokens", varied("after", 100, longer=3)),
        ("price", varied("after", 100, price=1.2)),
        ("failures", [*varied("after", 100), *varied("after", 10, failed=True)]),
        ("mix", varied("after", 100, model="b")),
    ],
)
def test_what_alone_changed_has_the_whole_change(factor, after):
    found = attribute(varied("before", 100) + after)
    assert only(found, factor), found.parts


def test_a_larger_share_from_the_cache_is_tokens_not_price():
    rng = random.Random(3)
    before, after = [], []
    for _ in range(200):
        size = rng.randrange(500, 3000)
        before.append(call("before", tokens={"input": size, "cache_read": 0, "output": 100}))
        cached = int(size * rng.uniform(0.3, 0.9))
        after.append(call("after", tokens={"input": size - cached, "cache_read": cached, "output": 100}))
    found = attribute(before + after)
    assert found.change < 0
    assert only(found, "tokens"), found.parts


def test_a_route_that_is_new_is_mix_and_volume():
    found = attribute(varied("before", 100) + varied("after", 100) + varied("after", 50, route="new", model="b"))
    assert found.parts["price"] == pytest.approx(0, abs=2)
    assert found.parts["tokens"] == pytest.approx(0, abs=2)
    assert found.parts["volume"] > 0
    assert found.parts["mix"] < 0


def test_four_moves_that_cancel_are_shown():
    before = varied("before", 200) + varied("before", 100, model="b")
    after = varied("after", 150, longer=2, price=0.7) + varied("after", 250, model="b", seed=2)
    found = attribute(before + after)
    assert abs(found.change) < sum(abs(part) for part in found.parts.values()) / 2


def test_more_of_everything_is_volume_even_of_the_failures():
    before = varied("before", 100) + varied("before", 10, failed=True)
    after = (varied("after", 100) + varied("after", 10, failed=True)) * 2
    assert only(attribute(before + after), "volume")


def test_calls_without_tokens_are_priced_by_the_call():
    def flat(window, n, cost):
        return [Spent(window=window, route="r", model="m", tokens={}, cost_nano_usd=cost) for _ in range(n)]

    assert only(attribute(flat("before", 10, 1000) + flat("after", 10, 1500)), "price")
    assert only(attribute(flat("before", 10, 1000) + flat("after", 20, 1000)), "volume")


def test_failures_of_a_route_that_never_succeeded_are_failures():
    found = attribute([*varied("before", 10), *varied("after", 10), call("after", route="dead", failed=True)])
    assert only(found, "failures")


@pytest.mark.parametrize("rows", [[], varied("before", 3), varied("after", 3), [call("after", failed=True)]])
def test_an_empty_window_still_adds_up(rows):
    found = attribute(rows)
    assert sum(found.parts.values()) == found.change


calls = st.builds(
    Spent,
    window=st.sampled_from(["before", "after"]),
    route=st.sampled_from("xyz"),
    model=st.sampled_from("ab"),
    tokens=st.dictionaries(st.sampled_from(["input", "output", "cache_read", "reasoning"]), st.integers(0, 10**6)),
    cost_nano_usd=st.integers(0, 10**12),
    failed=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(calls, max_size=30))
def test_the_parts_add_up_to_the_change_exactly_whatever_the_calls(rows):
    found = attribute(rows)
    assert set(found.parts) == set(FACTORS)
    assert sum(found.parts.values()) == found.change == found.after - found.before
