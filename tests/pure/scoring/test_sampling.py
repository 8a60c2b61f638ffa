"""Who is in the sample depends on the request, never on when or how often anybody looked."""

import hashlib
import hmac
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pure.scoring.columns import HOUR, ROUTE, START_S, columns, knowledge

from watchkeeper.scoring.hours import NO_RATES, Decided, SampledHour, decide, due
from watchkeeper.scoring.sampling import LEAST, Before, inclusions, permanent_numbers
from watchkeeper.scoring.signals import STRATA, Said, multiples


def test_the_permanent_number_is_the_hmac_of_the_trace_id_as_a_fraction() -> None:
    digest = hmac.new(b"salt", b"abc", hashlib.sha256).digest()
    [u] = permanent_numbers(b"salt", ["abc"])
    assert u == pytest.approx(int.from_bytes(digest[:8], "big") / 2**64, abs=1e-15)


def test_permanent_numbers_are_spread_evenly_and_another_salt_gives_others() -> None:
    ids = [f"{n:032x}" for n in range(20_000)]
    one, other = permanent_numbers(b"a", ids), permanent_numbers(b"b", ids)
    for u in (one, other):
        counts = np.histogram(u, bins=20, range=(0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 44  # chi-square, 19 degrees of freedom, 0.1 %
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03


def test_no_response_has_less_than_the_least_probability_and_none_more_than_one() -> None:
    strata = np.arange(len(STRATA), dtype=np.int8)
    for rate in (0.0, 1e-9, 0.02, 1.0):
        found = inclusions(strata, np.full(len(STRATA), rate), multiples({}))
        assert found.min() >= LEAST
        assert found.max() <= 1.0


def test_the_configuration_can_change_a_multiple() -> None:
    at = STRATA.index("edited")
    assert multiples({"edited": 2.0})[at] == 2.0
    assert multiples({})[at] == 30.0


SIZE = 60


def looked(said: Said, upto: int, before: Decided | None, known: dict[str, SampledHour], rate: float) -> Decided:
    """One look at the first `upto` requests."""
    earlier = before.samples if before else ()
    samples = {each.key: Before(stratum=each.stratum, inclusion=each.inclusion) for each in earlier}
    return decide(
        columns(upto, at=START_S + np.arange(upto) * 10.0),
        HOUR,
        1,
        rates={ROUTE: rate},
        known=known,
        before=samples,
        by=knowledge(said=said),
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_the_order_and_repetition_of_runs_the_sample_is_the_same(data: Any) -> None:
    """Requests arrive and thumbs come between runs; looked at once in the end, the same are in with the same pi."""
    thumbs = data.draw(st.sets(st.integers(0, SIZE - 1)))
    looks = sorted(data.draw(st.lists(st.integers(0, SIZE), max_size=5)))
    rate = 0.1
    known: dict[str, SampledHour] = {}
    decided: Decided | None = None
    for arrived in [*looks, SIZE, SIZE]:
        told = data.draw(st.sets(st.sampled_from(sorted(thumbs)))) if thumbs and arrived < SIZE else thumbs
        decided = looked(Said(negative={f"{n:032x}" for n in told}), arrived, decided, known, rate)
        known = {row.route: row for row in decided.hours}
    assert decided is not None
    once = looked(Said(negative={f"{n:032x}" for n in thumbs}), SIZE, None, {}, rate)
    assert {(s.key, s.stratum, s.inclusion, s.u) for s in decided.samples} == {
        (s.key, s.stratum, s.inclusion, s.u) for s in once.samples
    }
    assert [row.population for row in decided.hours] == [row.population for row in once.hours]
    assert all(s.u < s.inclusion for s in decided.samples)


def hour(**given: Any) -> SampledHour:
    values: dict[str, Any] = {
        "hour": HOUR, "route": ROUTE, "version": 1, "seen": 1, "eligible": 1, "unsettled": 0, "rates": NO_RATES,
        "population": [],
    }  # fmt: skip
    return SampledHour(**(values | given))


def test_an_hour_is_due_when_it_is_new_has_changed_or_waits_for_requests_to_settle() -> None:
    touched = {HOUR: 1}
    assert due(touched, [], [ROUTE], began=HOUR) == [HOUR]
    assert due(touched, [hour()], [ROUTE], began=HOUR) == []
    assert due({HOUR: 2}, [hour()], [ROUTE], began=HOUR) == [HOUR]
    assert due(touched, [hour(unsettled=3)], [ROUTE], began=HOUR) == [HOUR]
    assert due(touched, [hour()], [ROUTE, "search"], began=HOUR) == [HOUR]


def test_an_hour_before_sampling_began_is_due_only_if_it_was_looked_at() -> None:
    assert due({HOUR: 2}, [], [ROUTE], began=HOUR + 1) == []
    assert due({HOUR: 2}, [hour()], [ROUTE], began=HOUR + 1) == [HOUR]
    assert due({HOUR: 2}, [], [ROUTE], began=None) == [HOUR]


def test_a_raised_rate_counts_only_where_it_was_asked_for() -> None:
    known = {ROUTE: hour(rates=(0.02,) * 4)}
    for raising, expected in ((True, 0.5), (False, 0.02)):
        decided = decide(columns(8), HOUR, 1, rates={ROUTE: 0.5}, known=known, before={}, by=knowledge(raising=raising))
        assert decided.hours[0].rates == (expected,) * 4
