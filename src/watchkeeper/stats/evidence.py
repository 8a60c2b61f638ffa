"""What paired scores say about a loss, by the method that fits them.

Two kinds with the same questions: pass/fail once per case (counts of lost and gained cases), and
everything else (one difference per case; the repeats of a case are its cluster). Differences are
candidate minus baseline, so a loss is below zero.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.stats import bounded_mean, exact_pairs, tango
from watchkeeper.stats.planning import cases_to_pass

ALPHA = 0.05
"""One-sided error rate of a pass and of a regression."""

_Z = {0.05: exact_pairs.Z_ONE_SIDED, 0.025: 1.959963984540054}
"""Normal quantiles by the share left out at each end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryEvidence:
    """Pass/fail, once per case and side.

    Attributes:
        lost: Cases right before and wrong now.
        gained: Cases wrong before and right now.
        cases: All cases, at least 1.
    """

    lost: int
    gained: int
    cases: int

    @property
    def difference(self) -> float:
        """Gain rate minus loss rate."""
        return (self.gained - self.lost) / self.cases

    @property
    def spread(self) -> float | None:
        """Standard deviation of one case's difference."""
        changed = (self.lost + self.gained) / self.cases
        return math.sqrt(max(0.0, changed - self.difference**2))

    def low(self, outside: float) -> float:
        """The low end of Tango's interval, leaving out `outside` (0.05 or 0.025)."""
        return tango.lower_bound(self.lost, self.gained, self.cases, _Z[outside])

    def high(self, outside: float) -> float:
        """The high end, likewise."""
        return -tango.lower_bound(self.gained, self.lost, self.cases, _Z[outside])

    def p_worse(self) -> float:
        """One-sided p against "losses and gains are as likely, or gains more"."""
        return exact_pairs.p_more_lost(self.lost, self.gained, self.cases)

    def p_better(self) -> float:
        """One-sided p against "losses and gains are as likely, or losses more"."""
        return exact_pairs.p_more_lost(self.gained, self.lost, self.cases)

    def passes(self, margin: float) -> bool:
        """Whether a loss of `margin` is excluded with 95 %.

        With fewer cases than `cases_to_pass` only a gain that is itself shown passes. The level would hold
        without it, but one case gained by luck would make a pass of a handful.
        """
        reached = tango.score(self.lost, self.gained, self.cases, -margin)
        if reached <= exact_pairs.Z_ONE_SIDED:
            return False
        if self.cases < cases_to_pass(margin) and self.p_better() > ALPHA:
            return False
        # Last, for the critical value of many cases takes a while.
        return reached >= exact_pairs.critical_score(self.cases, margin)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradedEvidence:
    """Scores in [0, 1], or several attempts per case.

    Attributes:
        differences: shape (cases,), in [-1, 1]; each the case's mean now minus its mean before.
    """

    differences: NDArray[np.float64]

    @property
    def difference(self) -> float:
        """Mean over the cases."""
        return float(self.differences.mean())

    @property
    def spread(self) -> float | None:
        """Standard deviation of one case's difference; None for a single case."""
        return float(self.differences.std(ddof=1)) if self.differences.size > 1 else None

    def low(self, outside: float) -> float:
        """The low end of Gaffke's interval, leaving out at most `outside`."""
        return -bounded_mean.upper_bound(-self.differences, outside)

    def high(self, outside: float) -> float:
        """The high end, likewise."""
        return bounded_mean.upper_bound(self.differences, outside)

    def p_worse(self) -> float:
        """One-sided p against "the mean difference is 0 or a gain"."""
        return bounded_mean.share_reaching(self.differences, 0.0)

    def p_better(self) -> float:
        """One-sided p against "the mean difference is 0 or a loss"."""
        return bounded_mean.share_reaching(-self.differences, 0.0)

    def passes(self, margin: float) -> bool:
        """Whether a loss of `margin` is excluded with 95 %."""
        return bounded_mean.share_reaching(-self.differences, margin) <= ALPHA


Evidence = BinaryEvidence | GradedEvidence
