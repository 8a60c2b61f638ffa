"""Which signal puts a request into which stratum."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.pure.scoring.columns import ROUTE, START_S, columns

from watchkeeper.scoring.candidates import Candidates
from watchkeeper.scoring.signals import (
    MULTIPLES,
    STRATA,
    Said,
    Usual,
    appearances,
    live_facts,
    strata_of,
    usual_of,
)

DAY_S = 86_400.0


def strata(requests: Candidates, **given: Any) -> list[str]:
    known: dict[str, Any] = {"usual": {}, "first_seen": {}, "said": Said()}
    return [STRATA[place] for place in strata_of(requests, **(known | given))]


def test_without_a_signal_a_request_is_ordinary() -> None:
    assert strata(columns(2)) == ["ordinary", "ordinary"]


@pytest.mark.parametrize(
    ("given", "stratum"),
    [
        ({"error_type": [None, "timeout"]}, "failed"),
        ({"finish_reason": ["stop", "length"]}, "failed"),
        ({"finish_reason": ["stop", "max_tokens"]}, "failed"),
        ({"retrieval_missed": [False, True]}, "retrieval_miss"),
    ],
)
def test_what_the_record_says_is_a_signal(given: dict[str, Any], stratum: str) -> None:
    assert strata(columns(2, **given)) == ["ordinary", stratum]


def test_what_the_user_did_is_the_highest_signal() -> None:
    both = Said(negative={f"{1:032x}"}, edited={f"{1:032x}", f"{2:032x}"})
    assert strata(columns(3, error_type="timeout"), said=both) == ["failed", "negative_feedback", "edited"]


def test_unusual_is_outside_the_routes_own_range_and_unknown_is_not_unusual() -> None:
    usual = {ROUTE: Usual(latency_ms=(100.0, 900.0), output=(10.0, 200.0))}
    latencies = [99.0, 100.0, 900.0, 901.0, None]
    assert strata(columns(5, latency_ms=latencies), usual=usual) == [
        "unusual", "ordinary", "ordinary", "unusual", "ordinary"
    ]  # fmt: skip
    assert strata(columns(2, tokens_output=[201, None]), usual=usual) == ["unusual", "ordinary"]
    assert strata(columns(1, route="search", latency_ms=1e9), usual=usual) == ["ordinary"]


def test_a_version_is_new_for_a_day_and_only_in_a_route_that_is_older() -> None:
    at = np.array([START_S - 1, START_S, START_S + DAY_S - 1, START_S + DAY_S])
    requests = columns(4, at=at, prompt_id="answer", prompt_version="2")
    first = {(ROUTE, "route", ""): START_S - 2 * DAY_S, (ROUTE, "prompt", "answer@2"): START_S}
    assert strata(requests, first_seen=first) == ["ordinary", "new_version", "new_version", "ordinary"]
    young = first | {(ROUTE, "route", ""): START_S - DAY_S + 1}
    assert strata(requests, first_seen=young) == ["ordinary"] * 4


def test_a_new_model_counts_like_a_new_prompt_and_a_release_does_not() -> None:
    route = {(ROUTE, "route", ""): START_S - 2 * DAY_S}
    assert strata(columns(1), first_seen=route | {(ROUTE, "model", "m-1"): START_S}) == ["new_version"]
    assert strata(columns(1, release="7"), first_seen=route | {(ROUTE, "release", "7"): START_S}) == ["ordinary"]


def test_a_rare_route_is_one_with_under_a_hundredth_of_the_requests() -> None:
    table = pa.table(
        {"route": ["a"] * 991 + ["b"] * 9, "latency_ms": [float(n) for n in range(1000)], "tokens_output": [1] * 1000}
    )
    usual = usual_of(table)
    assert (usual["a"].rare, usual["b"].rare) == (False, True)
    assert usual["a"].latency_ms == pytest.approx((9.9, 980.1))
    assert usual["b"].latency_ms is None, "nine values are no range"
    assert strata(columns(1, route="b"), usual=usual) == ["rare_route"]


def test_only_requests_of_real_users_teach_what_is_usual() -> None:
    table = pa.table({"route": ["a", "b", "c"], "source": ["production", None, "test"]})
    assert live_facts(table)["route"].to_pylist() == ["a", "b"]


def test_first_appearances_are_the_earliest_of_live_requests() -> None:
    requests = columns(
        3,
        at=START_S + np.array([20.0, 10.0, 0.0]),
        source=["production", "production", "test"],
        prompt_id="p",
        prompt_version=["1", "1", "1"],
        release=["x", "y", "z"],
        model=None,
    )
    assert appearances(requests) == {
        (ROUTE, "route", ""): START_S + 10,
        (ROUTE, "prompt", "p@1"): START_S + 10,
        (ROUTE, "release", "x"): START_S + 20,
        (ROUTE, "release", "y"): START_S + 10,
    }


def test_every_stratum_has_a_multiple_and_edge_cases_are_sampled_ten_to_thirty_times_as_often() -> None:
    assert set(MULTIPLES) == set(STRATA)
    assert {MULTIPLES[name] for name in STRATA[:-1]} <= set(range(10, 31))
