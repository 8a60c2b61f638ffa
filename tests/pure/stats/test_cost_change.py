"""A change of cost in parts: exact sums, and each part alone where only one thing changed."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.stats.cost_change import FACTORS, Spent, attribute, attribute_sums
from watchkeeper.stats.spend_sums import KINDS, amounts, summed

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


def prompts(window, n, *, size=1000, cached=0.0, answer=100, seed=3, model="a"):
    rng = random.Random(seed)
    made = []
    for _ in range(n):
        length = int(size * rng.uniform(0.5, 1.5))
        read = int(length * cached * rng.uniform(0.6, 1.4))
        tokens = {"input": length - read, "cache_read": read, "output": int(answer * rng.uniform(0.5, 1.5))}
        made.append(call(window, tokens=tokens, model=model))
    return made


@pytest.mark.parametrize(
    ("factor", "after"),
    [
        ("input", prompts("after", 300, size=2000, cached=0.4)),
        ("output", prompts("after", 300, answer=300, cached=0.4)),
        ("cache_share", prompts("after", 300, cached=0.1)),
    ],
)
def test_tokens_are_split_into_longer_prompts_longer_answers_and_the_share_of_the_cache(factor, after):
    found = attribute(prompts("before", 300, cached=0.4) + after)
    assert sum(found.tokens.values()) == found.parts["tokens"]
    assert found.tokens[factor] == pytest.approx(found.change, rel=0.02)
    assert all(abs(part) < 0.02 * abs(found.change) for name, part in found.tokens.items() if name != factor)


def test_a_longer_prompt_of_which_as_much_was_cached_is_longer_and_less_cached():
    found = attribute(
        [
            call("before", tokens={"input": 0, "cache_read": 1000}),
            call("after", tokens={"input": 1000, "cache_read": 1000}),
        ]
    )
    assert found.tokens["input"] > 0
    assert found.tokens["cache_share"] > 0
    assert sum(found.tokens.values()) == found.parts["tokens"] == found.change


def sums(rows, names, window):
    number = {name: place for place, name in enumerate(names)}
    mine = [row for row in rows if row.window == window]
    tokens = np.array([[row.tokens.get(kind, 0) for kind in KINDS[:-1]] for row in mine], float).reshape(-1, 5)
    return summed(
        np.array([number[row.route, row.model] for row in mine], np.int64),
        amounts(tokens),
        np.array([row.cost_nano_usd for row in mine], np.int64),
        np.array([row.failed for row in mine], bool),
        segments=len(names),
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(calls, min_size=1, max_size=30))
def test_the_segments_parts_are_the_whole(rows):
    names = sorted({(row.route, row.model) for row in rows})
    segments = attribute_sums(names, sums(rows, names, "before"), sums(rows, names, "after"))
    whole = attribute(rows)
    assert {name: sum_of(segments, name) for name in FACTORS} == whole.parts
    for name, segment in zip(names, segments, strict=True):
        mine = [row for row in rows if (row.route, row.model) == name]
        assert segment.after == sum(row.cost_nano_usd for row in mine if row.window == "after")
        assert sum(segment.parts.values()) == segment.change
        assert sum(segment.tokens.values()) == segment.parts["tokens"]


def sum_of(segments, name):
    return sum(segment.parts[name] for segment in segments)


def test_an_hour_of_a_longer_window_is_compared_with_an_hour():
    rows = varied("before", 100) + varied("after", 100) * 3
    names = [("r", "a")]
    total = attribute_sums(names, sums(rows, names, "before"), sums(rows, names, "after"))[0]
    hourly = attribute_sums(names, sums(rows, names, "before"), sums(rows, names, "after"), hours=(24.0, 72.0))[0]
    assert total.parts["volume"] == pytest.approx(total.change, abs=5)
    assert total.change == 2 * total.before
    assert hourly.change == 0
    assert hourly.parts["volume"] == pytest.approx(0, abs=5)


def test_failures_beside_free_calls_are_failures():
    free = [
        Spent(window=window, route="r", model="a", tokens={"input": 5}, cost_nano_usd=0)
        for window in ("before", "after")
    ]
    assert only(attribute([*free, call("after", failed=True)]), "failures")


def test_no_sum_leaves_64_bits():
    large = [Spent(window="after", route="r", model="a", tokens={"input": 5}, cost_nano_usd=10**18) for _ in range(30)]
    assert attribute(large).after == 30 * 10**18


def test_all_of_a_window_that_has_no_calls_to_be_compared_with_is_volume():
    assert only(attribute(varied("after", 5) + varied("after", 5, model="b")), "volume")
    assert only(attribute(varied("before", 5) + varied("before", 5, model="b")), "volume")


def test_failures_on_a_new_route_are_failures_though_nothing_was_there_before():
    new = [*varied("after", 50, route="new", model="b"), *varied("after", 50, route="new", model="b", failed=True)]
    wasted = sum(c.cost_nano_usd for c in new if c.failed)
    found = attribute(varied("before", 100) + varied("after", 100) + new)
    assert found.parts["failures"] == pytest.approx(wasted, abs=2)


def by_call(window, n, cost, *, longer=1):
    rng = random.Random(5)
    return [
        Spent(
            window=window, route="r", model="m", tokens={"input": longer * rng.randrange(100, 3000)}, cost_nano_usd=cost
        )
        for _ in range(n)
    ]


def test_a_model_that_is_paid_by_the_call_has_no_part_for_tokens_and_no_price_that_is_invented():
    assert attribute(by_call("before", 100, 12_300_000) + by_call("after", 100, 12_300_000, longer=3)).change == 0
    more = attribute(by_call("before", 100, 12_300_000) + by_call("after", 150, 12_300_000, longer=3))
    assert only(more, "volume"), more.parts
    dearer = attribute(by_call("before", 100, 12_300_000) + by_call("after", 100, 15_000_000, longer=3))
    assert only(dearer, "price"), dearer.parts
