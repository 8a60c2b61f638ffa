"""True error rates of the binary rule, by enumeration of every outcome; used by tests."""

import math
from functools import lru_cache

import numpy as np
from scipy.stats import binom

from watchkeeper.stats.evidence import ALPHA, BinaryEvidence


@lru_cache
def verdicts(cases: int, margin: float) -> dict[tuple[int, int], str]:
    """(lost, gained) -> verdict, by the rule as `compare` applies it."""
    found = {}
    for lost in range(cases + 1):
        for gained in range(cases + 1 - lost):
            evidence = BinaryEvidence(lost=lost, gained=gained, cases=cases)
            passes = evidence.passes(margin)
            found[lost, gained] = "pass" if passes else "regressed" if evidence.p_worse() <= ALPHA else "inconclusive"
    return found


def probability(verdict: str, cases: int, margin: float, *, loss: float, gain: float) -> float:
    """P(verdict) when each case is lost and gained with these probabilities."""
    same = max(0.0, 1 - loss - gain)
    return math.fsum(
        math.comb(cases, lost)
        * math.comb(cases - lost, gained)
        * loss**lost
        * gain**gained
        * same ** (cases - lost - gained)
        for (lost, gained), found in verdicts(cases, margin).items()
        if found == verdict
    )


@lru_cache
def limits(cases: int, margin: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For 0..cases gained: the most lost that pass (-1: none), the fewest that are regressed (cases + 1: none).

    By halving, for many cases; that more losses never improve a verdict has its own test.
    """
    passing, regressing = [], []
    for gained in range(cases + 1):
        low, high = -1, cases - gained + 1
        while high - low > 1:
            middle = (low + high) // 2
            passes = BinaryEvidence(lost=middle, gained=gained, cases=cases).passes(margin)
            low, high = (middle, high) if passes else (low, middle)
        passing.append(low)
        high = cases - gained + 1
        while high - low > 1:
            middle = (low + high) // 2
            worse = BinaryEvidence(lost=middle, gained=gained, cases=cases).p_worse() <= ALPHA
            low, high = (low, middle) if worse else (middle, high)
        regressing.append(high if high <= cases - gained else cases + 1)
    return tuple(passing), tuple(regressing)


def pass_and_regressed(cases: int, margin: float, *, loss: float, gain: float) -> tuple[float, float]:
    """P(pass) and P(regressed), exact, by `limits`."""
    passing, regressing = (np.array(found) for found in limits(cases, margin))
    gained = np.arange(cases + 1)
    weight = binom.pmf(gained, cases, gain)
    loss_rate = min(1.0, loss / (1 - gain))
    passes = np.where(passing >= 0, binom.cdf(passing, cases - gained, loss_rate), 0.0)
    regressed = np.where(regressing <= cases, binom.sf(regressing - 1, cases - gained, loss_rate), 0.0)
    return float(weight @ passes), float(weight @ regressed)
