"""A failure rate watched response by response: delay, false alarms, closed forms."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from watchkeeper.stats.rate_change import LIMIT, Detector, allowed_rate, rate_change

DATA = Path(os.environ.get("WATCHKEEPER_DATA", Path(__file__).parents[4] / "shared" / "data"))


def bits(rng, rate, n):
    return [int(b) for b in rng.random(n) < rate]


def test_a_jump_from_two_to_ninety_percent_is_seen_within_ten_responses():
    rng = np.random.default_rng(31)
    delays = []
    for _ in range(200):
        found = rate_change(bits(rng, 0.02, 500) + bits(rng, 0.9, 100), baseline=500)
        delays.append(found.alert_at - 499)
        assert found.since_at >= 490
        assert found.rate_since > 0.8
    assert np.median(delays) <= 10
    assert np.quantile(delays, 0.9) <= 16


def test_a_tripled_rate_is_seen_within_a_day_of_a_hundred_an_hour():
    rng = np.random.default_rng(32)
    found = [rate_change(bits(rng, 0.02, 5000) + bits(rng, 0.06, 4000), baseline=5000) for _ in range(40)]
    assert np.median([5_000 if f.alert_at is None else f.alert_at - 4999 for f in found]) < 2400


def test_a_year_of_a_hundred_an_hour_without_a_change_has_at_most_one_false_alarm():
    rng = np.random.default_rng(33)
    wobble = np.exp(rng.normal(-(0.3**2) / 2, 0.3, 365)).repeat(2400)
    broken = rng.random(wobble.size) < 0.02 * wobble
    detector, alarms = Detector(allowed_rate(270, 14 * 2400 // 2)), 0
    for value in broken:
        if detector.see(int(value), int(not value)):
            alarms += 1
            detector = Detector(detector.allowed)
    assert alarms <= 1


def test_at_the_allowed_rate_itself_the_mean_wait_for_a_false_alarm_is_at_least_the_limit():
    """Over 500 sequences of a tenth of the limit, no more than a tenth may alarm (Ville, Markov)."""
    rng = np.random.default_rng(34)
    alarms = 0
    for _ in range(500):
        detector = Detector(0.05, limit=1000)
        alarms += any(detector.see(int(b), int(not b)) for b in rng.random(100) < 0.05)
    assert alarms / 500 <= 0.1


def test_evidence_is_the_recursion_by_hand():
    detector = Detector(0.5)  # of the fixed alternatives only 0.9 is above
    detector.see(1)
    assert detector.value == pytest.approx(0.9 / 0.5)
    detector.see(0, 1)
    assert detector.value == pytest.approx((1 + 0.9 / 0.5) * 0.1 / 0.5)


def test_a_batch_counts_as_its_responses_under_one_look():
    detector = Detector(0.5)
    detector.see(2, 1)
    assert detector.value == pytest.approx((0.9 / 0.5) ** 2 * (0.1 / 0.5))


def test_a_clean_baseline_allows_half_a_percent_and_more_where_it_was_short():
    assert allowed_rate(0, 100_000) == 0.005
    assert allowed_rate(0, 50) == pytest.approx(1.5 * (1 - 0.025 ** (1 / 50)))


def test_days_that_were_bad_before_are_no_change():
    quiet = rate_change([0] * 500 + [1, 0, 0, 0] * 50, baseline=500)
    used_to_it = rate_change([0] * 500 + [1, 0, 0, 0] * 50, baseline=500, day_rates=[0.02] * 12 + [0.25] * 2)
    assert quiet.alert_at is not None
    assert used_to_it.alert_at is None


def test_without_an_alarm_the_rate_since_is_that_of_everything_after_the_baseline():
    found = rate_change([0, 0, 1, 0] * 25 + [0, 1, 0, 0], baseline=100)
    assert (found.alert_at, found.since_at, found.baseline_rate, found.rate_since) == (None, None, 0.25, 0.25)
    assert rate_change([0] * 10, baseline=10).rate_since is None


@pytest.mark.parametrize("baseline", [0, 11])
def test_a_baseline_that_is_not_there_is_refused(baseline):
    with pytest.raises(ValueError, match="between 1 and 10"):
        rate_change([0] * 10, baseline=baseline)


@pytest.mark.skipif(not (DATA / "llmdrift").is_dir(), reason="the llmdrift data is not here")
def test_the_june_answers_of_a_real_model_alarm_within_twenty_and_its_march_answers_shuffled_do_not():
    files = sorted((DATA / "llmdrift").glob("*code*"))
    assert files
    rows = []
    for file in files:
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            rows += [json.loads(line) for line in lines]
    fenced = {
        month: [int("```" in row["response"]) for row in rows if row["model"].endswith(month)]
        for month in ("0314", "0613")
    }
    assert len(fenced["0314"]) >= 50
    found = rate_change(fenced["0314"] + fenced["0613"], baseline=len(fenced["0314"]))
    assert found.alert_at is not None
    assert found.alert_at - len(fenced["0314"]) < 20
    rng = np.random.default_rng(35)
    false = 0
    for _ in range(1000):
        march = list(rng.permutation(fenced["0314"]))
        false += rate_change(march + march, baseline=len(march)).alert_at is not None
    assert false <= 10
    assert LIMIT >= 100 * 24 * 365
