"""Error rates of the graded rule in a seeded simulation, also where the t-test fails."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from watchkeeper.stats.evidence import BinaryEvidence, GradedEvidence
from watchkeeper.stats.paired import CasePair, compare

RUNS = 400
MARGIN = 0.05
Sample = Callable[[np.random.Generator, int, float], NDArray[np.float64]]


def noisy(rng, cases, loss):
    return np.clip(rng.normal(-loss, 0.25, cases), -1, 1)


def rare_full_losses(rng, cases, loss):
    return np.where(rng.random(cases) < loss, -1.0, 0.0)


def small_gains_and_rare_full_losses(rng, cases, loss):
    return np.where(rng.random(cases) < (loss + 0.02) / 1.02, -1.0, 0.02)


def small_losses_and_rare_full_gains(rng, cases, loss):
    usual = loss + 0.02
    return np.where(rng.random(cases) < 0.02 / (1 + usual), 1.0, -usual)


def skewed(rng, cases, loss):
    return np.clip(rng.beta(0.3, 3, cases) - 0.3 / 3.3 - loss, -1, 1)


def repeats_with_case_effects(rng, cases, loss):
    base = rng.uniform(0.3, 0.7, cases)
    moved = np.clip(base + rng.choice([-0.3, 0.3], cases) - loss, 0, 1)
    return (rng.binomial(3, moved) - rng.binomial(3, base)) / 3


SHAPES: list[Sample] = [
    noisy,
    rare_full_losses,
    small_gains_and_rare_full_losses,
    small_losses_and_rare_full_gains,
    skewed,
    repeats_with_case_effects,
]


@pytest.mark.parametrize("cases", [20, 50, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_wrong_verdicts_stay_at_five_percent(shape, cases):
    rng = np.random.default_rng([cases, SHAPES.index(shape)])
    passed = regressed = covered = 0
    for run in range(RUNS):
        passed += GradedEvidence(differences=shape(rng, cases, MARGIN)).passes(MARGIN)
        unchanged = GradedEvidence(differences=shape(rng, cases, 0.0))
        regressed += unchanged.p_worse() <= 0.05
        if run % 4 == 0:
            covered += unchanged.low(0.025) <= 0 <= unchanged.high(0.025)
    # Two standard errors of a rate of 0.05 in 400 runs are 0.022; measured rates are at most 0.038.
    assert passed / RUNS <= 0.06
    assert regressed / RUNS <= 0.06
    assert covered / (RUNS / 4) >= 0.93


@pytest.mark.parametrize("cases", [20, 50])
def test_repeats_of_pass_or_fail_are_compared_by_case(cases):
    """Through `compare`: nothing lost on average, but each case moved for itself and has five attempts a side."""
    rng = np.random.default_rng(cases)
    regressed = pooled = passed = 0
    for _ in range(RUNS):
        base = rng.uniform(0.35, 0.65, cases)
        moved = base + rng.choice([-0.35, 0.35], cases)
        before, after = rng.binomial(1, base[:, None], (cases, 5)), rng.binomial(1, moved[:, None], (cases, 5))
        regressed += verdict(before, after) == "regressed"
        lost, gained = int((before > after).sum()), int((before < after).sum())
        pooled += BinaryEvidence(lost=lost, gained=gained, cases=5 * cases).p_worse() <= 0.05
        # The same cases, of which a share has lost all it had: the true loss is the margin.
        whole = np.ones((cases, 5), dtype=np.int64)
        passed += verdict(whole, np.where(rng.random((cases, 1)) < MARGIN, 0, whole)) == "pass"
    assert regressed / RUNS <= 0.06
    assert passed / RUNS <= 0.06
    assert pooled / RUNS > 0.10  # what counting the repeats apart would do


def verdict(before: NDArray[np.int64], after: NDArray[np.int64]) -> str:
    sides = zip(before.tolist(), after.tolist(), strict=True)
    pairs = [CasePair(case=str(i), baseline=tuple(b), candidate=tuple(a)) for i, (b, a) in enumerate(sides)]
    return compare(pairs, margin=MARGIN).verdict


@pytest.mark.parametrize(("cases", "loss"), [(20, 0.3), (50, 0.2), (200, 0.1)])
def test_a_clear_loss_is_found(cases, loss):
    rng = np.random.default_rng(cases)
    found = [GradedEvidence(differences=noisy(rng, cases, loss)).p_worse() <= 0.05 for _ in range(200)]
    assert np.mean(found) > 0.85


def test_nothing_changed_passes_with_enough_cases():
    rng = np.random.default_rng(2)
    assert np.mean([GradedEvidence(differences=noisy(rng, 300, 0.0)).passes(MARGIN) for _ in range(200)]) > 0.9
