"""True error rates of the binary rule, by enumeration of every outcome; used by tests."""

import math
from functools import lru_cache

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
