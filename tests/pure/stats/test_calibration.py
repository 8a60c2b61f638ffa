"""A judge corrected by labels: coverage of a known truth, real judges, and closed forms."""

import gzip
import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from watchkeeper.stats.calibration import Judged, calibrate

DATA = Path(os.environ.get("WATCHKEEPER_DATA", Path(__file__).parents[4] / "shared" / "data"))


def judged(rng, *, n, labels, truth, tpr, tnr, per_verdict=False):
    human = (rng.random(n) < truth).astype(float)
    judge = np.where(human == 1, rng.random(n) < tpr, rng.random(n) > tnr).astype(float)
    if per_verdict:  # half of the labels for each verdict
        order = rng.permutation(n)
        chosen = {*order[judge[order] == 1][: labels // 2], *order[judge[order] == 0][: labels // 2]}
    else:
        chosen = set(rng.permutation(n)[:labels])
    return [
        Judged(judge=j, human=h if i in chosen else None) for i, (j, h) in enumerate(zip(judge, human, strict=True))
    ]


@pytest.mark.parametrize("labels", [50, 100])
@pytest.mark.parametrize(("truth", "tpr", "tnr"), [(0.9, 0.8, 0.8), (0.97, 0.97, 0.7), (0.7, 0.9, 0.85)])
@pytest.mark.parametrize("per_verdict", [False, True])
def test_the_corrected_interval_covers_what_people_say_and_the_judges_own_does_not(
    truth, tpr, tnr, labels, per_verdict
):
    rng = np.random.default_rng(21)
    corrected, raw = [], []
    for _ in range(400):
        found = calibrate(judged(rng, n=1000, labels=labels, truth=truth, tpr=tpr, tnr=tnr, per_verdict=per_verdict))
        corrected.append(found.corrected.interval[0] <= truth <= found.corrected.interval[1])
        raw.append(found.raw.interval[0] <= truth <= found.raw.interval[1])
    assert 0.91 <= np.mean(corrected) <= 0.985
    assert np.mean(raw) < 0.75


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_a_graded_judge_is_corrected_too(noise):
    rng = np.random.default_rng(22)
    corrected, width, labels_only = [], [], []
    for _ in range(400):
        human = rng.beta(4, 1.5, 1000)
        judge = np.clip(0.8 * human + 0.1 + rng.normal(0, noise, 1000), 0, 1)
        rows = [
            Judged(judge=j, human=h if i < 100 else None) for i, (j, h) in enumerate(zip(judge, human, strict=True))
        ]
        low, high = calibrate(rows).corrected.interval
        corrected.append(low <= 4 / 5.5 <= high)
        width.append(high - low)
        labels_only.append(4 * human[:100].std() / 10)
    assert 0.93 <= np.mean(corrected) <= 0.985
    if noise < 0.2:
        assert np.mean(width) < 0.8 * np.mean(labels_only)


def test_a_sample_weighted_to_edge_cases_is_corrected_for_it():
    rng = np.random.default_rng(23)
    covered = []
    for _ in range(400):
        edge = rng.random(8000) < 0.1
        truth = np.where(edge, 0.5, 0.95)
        human = (rng.random(8000) < truth).astype(float)
        judge = np.where(human == 1, rng.random(8000) < 0.9, rng.random(8000) > 0.8).astype(float)
        inclusion = np.where(edge, 1.0, 0.1)
        taken = np.flatnonzero(rng.random(8000) < inclusion)
        labelled = set(rng.permutation(taken)[:150])
        rows = [
            Judged(judge=judge[i], human=human[i] if i in labelled else None, inclusion=inclusion[i]) for i in taken
        ]
        low, high = calibrate(rows).corrected.interval
        covered.append(low <= 0.1 * 0.5 + 0.9 * 0.95 <= high)
    assert 0.93 <= np.mean(covered) <= 0.99


def test_kappa_and_its_interval_are_the_librarys():
    table = np.array([[20, 5], [10, 65]])
    rows = [Judged(judge=j, human=h) for j in (0, 1) for h in (0, 1) for _ in range(table[j, h])]
    expected = cohens_kappa(table)
    found = calibrate(rows).agreement
    assert found.kappa == pytest.approx(expected.kappa)
    half = 1.959963984540054 * expected.std_kappa
    assert found.kappa_interval == pytest.approx((expected.kappa - half, expected.kappa + half))
    assert (found.tpr, found.tnr) == pytest.approx((65 / 70, 20 / 30))


@pytest.mark.parametrize(("right", "certified"), [(50, True), (43, False)])
def test_a_judge_is_certified_by_its_lower_bounds(right, certified):
    rows = [Judged(judge=h if i < right else 1 - h, human=h) for h in (0, 1) for i in range(50)]
    found = calibrate(rows)
    assert found.agreement.tpr == pytest.approx(right / 50)
    assert found.certified is certified


def test_a_judge_at_the_limit_is_hardly_ever_certified():
    rng = np.random.default_rng(24)
    rows = (judged(rng, n=200, labels=200, truth=0.5, tpr=0.8, tnr=0.8) for _ in range(500))
    assert np.mean([calibrate(some).certified for some in rows]) <= 0.02


def test_a_missing_judgement_is_no_failure():
    answered = [Judged(judge=1.0, human=1.0 if i < 30 else None) for i in range(90)]
    found = calibrate(answered + [Judged(judge=None, human=1.0 if i < 5 else None) for i in range(10)])
    assert (found.raw.mean, found.missing, found.labels) == (1.0, 10, 35)
    assert found.corrected.mean == pytest.approx(1.0)


def test_without_labels_nothing_is_corrected():
    found = calibrate([Judged(judge=1.0, human=None) for _ in range(50)])
    assert (found.corrected.mean, found.corrected.interval, found.labels, found.certified) == (None, None, 0, False)
    assert found.raw.mean == 1.0


def test_one_verdict_only_has_no_kappa():
    agreement = calibrate([Judged(judge=1.0, human=1.0)] * 20).agreement
    assert (agreement.kappa, agreement.tpr, agreement.tnr, agreement.tnr_low) == (None, 1.0, None, None)


@pytest.mark.skipif(not (DATA / "judges").is_dir(), reason="the judges' data is not here")
def test_on_real_judges_the_corrected_interval_covers_people_where_the_raw_one_does_not():
    with gzip.open(DATA / "judges" / "pandalm_testset.jsonl.gz", "rt") as lines:
        items = [json.loads(line) for line in lines]
    human = np.array([float(item["human_majority"] == 1) for item in items])
    judge = [None if item["judge_gpt35"] is None else float(item["judge_gpt35"] == 1) for item in items]
    rng, covered = np.random.default_rng(25), defaultdict(list)
    for _ in range(300):
        labelled = set(rng.permutation(len(items))[:100])
        rows = [Judged(judge=j, human=human[i] if i in labelled else None) for i, j in enumerate(judge)]
        found = calibrate(rows)
        for name, rate in (("raw", found.raw), ("corrected", found.corrected)):
            covered[name].append(rate.interval[0] <= human.mean() <= rate.interval[1])
    assert np.mean(covered["corrected"]) >= 0.92
    assert np.mean(covered["raw"]) < 0.1
