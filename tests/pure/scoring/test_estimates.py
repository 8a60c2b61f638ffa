"""What the sample says of all traffic, on traffic whose truth is known."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from tests.pure.scoring.columns import HOUR, ROUTE, START_S, columns, knowledge

from watchkeeper.scoring.hours import Group, SampledHour, decide
from watchkeeper.scoring.report import Corrected, Quality, quality_of
from watchkeeper.scoring.scored import ScoredSample
from watchkeeper.scoring.signals import Said
from watchkeeper.stats.weighted import Estimate

START = datetime.fromtimestamp(START_S, UTC)
SHARES = {"negative_feedback": 0.03, "failed": 0.03, "retrieval_miss": 0.04, "ordinary": 0.90}
GOOD = {"negative_feedback": 0.25, "failed": 0.40, "retrieval_miss": 0.55, "ordinary": 0.93}
TRUTH = sum(SHARES[name] * GOOD[name] for name in SHARES)


def window(number: int, size: int = 3000) -> tuple[list[ScoredSample], list[SampledHour]]:
    """Traffic of two hours, the second with a lower rate; sampled, and scored by one who knows."""
    rng = np.random.default_rng(number)
    scores: list[ScoredSample] = []
    hours: list[SampledHour] = []
    for part, rate in enumerate((0.03, 0.01)):
        first = number * 100_000 + part * size
        kinds = rng.choice(list(SHARES), size, p=list(SHARES.values()))
        good = rng.random(size) < np.array([GOOD[kind] for kind in kinds])
        at = START_S + 3600 * part + np.linspace(0, 3599, size)
        requests = columns(
            size,
            first=first,
            at=at,
            error_type=np.where(kinds == "failed", "timeout", None).tolist(),
            retrieval_missed=(kinds == "retrieval_miss").tolist(),
        )
        said = Said(negative={f"{first + n:032x}" for n in np.flatnonzero(kinds == "negative_feedback")})
        decided = decide(requests, HOUR + part, 1, rates={ROUTE: rate}, known={}, before={}, by=knowledge(said=said))
        hours += decided.hours
        scores += [
            scored(value=float(good[int(s.trace_id, 16) - first]), trace_id=s.trace_id, stratum=s.stratum,
                   inclusion=s.inclusion, started_at=datetime.fromtimestamp(s.at, UTC))
            for s in decided.samples
        ]  # fmt: skip
    return scores, hours


def scored(**given: Any) -> ScoredSample:
    values: dict[str, Any] = {
        "trace_id": "0" * 32, "span_id": "0" * 16, "started_at": START, "route": ROUTE, "segment": None, "prompt": None,
        "model": "m-1", "stratum": "ordinary", "inclusion": 0.5, "scorer": "tone", "scorer_version": "v1", "value": 1.0,
        "missing": None, "explanation": None, "scored_at": START,
    }  # fmt: skip
    return ScoredSample(**(values | given))


def hour(requests: int, *, stratum: str = "ordinary", **given: Any) -> SampledHour:
    labels = {name: given.pop(name, None) for name in ("segment", "prompt", "model")}
    values: dict[str, Any] = {
        "hour": HOUR, "route": ROUTE, "version": 1, "seen": requests, "eligible": requests, "unsettled": 0,
        "rates": (0.5,) * 4, "population": [Group(**labels, stratum=stratum, requests=requests)],
    }  # fmt: skip
    return SampledHour(**(values | given))


def whole(scores: list[ScoredSample], hours: list[SampledHour]) -> Quality:
    [found] = quality_of(scores, hours, ["route"], target=0.03)
    return found


def windows(count: int) -> Iterator[tuple[Estimate, float]]:
    for number in range(count):
        scores, hours = window(number)
        naive = float(np.mean([each.value for each in scores if each.value is not None]))
        yield whole(scores, hours).estimate, naive


def test_on_known_traffic_the_mean_is_right_and_its_interval_covers_where_the_naive_mean_is_far_off() -> None:
    """300 windows of 6,000 requests, edge cases sampled 15 to 30 times as often, the rate falling meanwhile."""
    found = list(windows(300))
    means = np.array([each.mean for each, _ in found])
    covered = np.mean([each.interval[0] <= TRUTH <= each.interval[1] for each, _ in found if each.interval])
    naive = np.array([mean for _, mean in found])
    assert abs(means.mean() - TRUTH) < 0.005
    assert 0.93 <= covered <= 0.98
    assert (TRUTH - naive).min() > 0.05
    assert all(each.enough for each, _ in found)


def test_under_thirty_ordinary_scores_are_too_few_and_thirty_are_enough() -> None:
    for count, enough in ((29, False), (30, True)):
        scores = [scored(trace_id=f"{n:032x}") for n in range(count)]
        assert whole(scores, [hour(1000)]).estimate.enough is enough


def test_a_stratum_nobody_scored_widens_the_interval_and_is_not_called_missing() -> None:
    scores = [scored(trace_id=f"{n:032x}") for n in range(50)]
    alone = whole(scores, [hour(1000)]).estimate
    beside = whole(scores, [hour(1000), hour(500, stratum="failed")]).estimate
    assert alone.interval
    assert beside.interval
    assert beside.interval[0] < alone.interval[0] - 0.1
    assert beside.missing == 0


def test_a_missing_score_is_counted_and_is_no_zero() -> None:
    scores = [scored(trace_id=f"{n:032x}") for n in range(50)]
    scores.append(scored(trace_id=f"{50:032x}", value=None, missing="refused"))
    found = whole(scores, [hour(1000)]).estimate
    assert (found.mean, found.n, found.missing) == (1.0, 50, 1)


def test_each_breakdown_speaks_for_its_own_requests() -> None:
    scores = [
        scored(trace_id=f"{n:032x}", segment="free" if n % 2 else None, value=float(n % 2), prompt="answer@1")
        for n in range(100)
    ]
    hours = [hour(700, segment="free", prompt="answer@1"), hour(300, prompt="answer@1")]
    by = quality_of(scores, hours, ["segment", "prompt_version"], target=0.5)
    assert [(each.labels, each.population, each.estimate.mean) for each in by] == [
        ({"segment": None, "prompt_version": "answer@1"}, 300, 0.0),
        ({"segment": "free", "prompt_version": "answer@1"}, 700, 1.0),
    ]
    [all_of_it] = quality_of(scores, hours, [], target=0.5)
    assert (all_of_it.population, all_of_it.labels) == (1000, {})


def test_hours_and_days_are_named_by_their_beginning() -> None:
    scores = [scored(trace_id=f"{n:032x}", started_at=START + timedelta(hours=n % 2)) for n in range(10)]
    hours = [hour(50), replace(hour(70), hour=HOUR + 1)]
    found = quality_of(scores, hours, ["hour"], target=0.5)
    assert [(each.labels["hour"], each.population) for each in found] == [
        (f"{START:%Y-%m-%dT%H}:00Z", 50), (f"{START + timedelta(hours=1):%Y-%m-%dT%H}:00Z", 70)
    ]  # fmt: skip
    assert {each.labels["day"] for each in quality_of(scores, hours, ["day"], target=0.5)} == {f"{START:%Y-%m-%d}"}


def test_two_versions_of_a_scorer_are_never_put_together() -> None:
    old = [scored(trace_id=f"{n:032x}", value=0.0) for n in range(40)]
    new = [scored(trace_id=f"{n:032x}", scorer_version="v2", scored_at=START + timedelta(hours=1)) for n in range(30)]
    found = whole([*old, *new], [hour(1000)])
    assert (found.version, found.estimate.n, found.estimate.mean) == ("v2", 30, 1.0)


def test_a_report_says_how_wide_the_interval_would_be_at_the_target_rate() -> None:
    scores = [scored(trace_id=f"{n:032x}", inclusion=0.01, value=float(n % 2)) for n in range(100)]
    [short] = quality_of(scores, [hour(10_000)], [], target=0.04)
    assert short.estimate.interval
    assert short.width_at_target == pytest.approx((short.estimate.interval[1] - short.estimate.interval[0]) / 2)
    [full] = quality_of(scores, [hour(10_000)], [], target=0.01)
    assert full.width_at_target is None


def test_a_correction_stands_beside_the_uncorrected_figure() -> None:
    scores = [scored(trace_id=f"{n:032x}") for n in range(40)]
    [plain] = quality_of(scores, [hour(1000)], [], target=0.5)
    assert plain.corrected is None
    known = Corrected(mean=0.8, interval=(0.7, 0.9), labels=50)
    [corrected] = quality_of(scores, [hour(1000)], [], target=0.5, correct=lambda *_: known)
    assert (corrected.corrected, corrected.estimate.mean) == (known, 1.0)


def test_more_samples_than_requests_on_record_is_no_failure() -> None:
    scores = [scored(trace_id=f"{n:032x}") for n in range(40)]
    assert whole(scores, [hour(5)]).estimate.n == 40
