"""Intervals of shares, and of sums of shares.

Sources:
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22 (1927) 209-212.
    C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934) 404-413.
    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine
    17 (1998) 873-890, and G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a
    general approach", Statistics in Medicine 27 (2008) 1693-1702: square-and-add (MOVER).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy import special

Z_95 = 1.959963984540054
"""Normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One independent share inside a weighted sum.

    Attributes:
        weight: How much of the whole it stands for.
        share: The estimate, in [0, 1].
        low: Lower end of its own interval.
        high: Upper end.
    """

    weight: float
    share: float
    low: float
    high: float


def wilson(share: float, size: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson's interval of a share.

    Args:
        share: In [0, 1].
        size: Of the sample, perhaps an effective one; (0, 1) comes back for 0.
    """
    if size <= 0:
        return 0.0, 1.0
    squared = z * z / size
    middle = (share + squared / 2) / (1 + squared)
    half = z * math.sqrt(max(0.0, share * (1 - share) / size + squared / (4 * size))) / (1 + squared)
    # At the ends the formula is exact; rounding must not move it past the estimate.
    return (0.0 if share <= 0 else max(0.0, middle - half)), (1.0 if share >= 1 else min(1.0, middle + half))


def exact_low(successes: int, size: int, outside: float) -> float:
    """The Clopper-Pearson lower end, leaving out at most `outside`; 0 for an empty sample."""
    return 0.0 if successes <= 0 else float(special.betaincinv(successes, size - successes + 1, outside))


def exact_high(successes: int, size: int, outside: float) -> float:
    """The Clopper-Pearson upper end, leaving out at most `outside`; 1 for an empty sample."""
    return 1.0 if successes >= size else float(special.betaincinv(successes + 1, size - successes, 1 - outside))


def weighted_sum(parts: Iterable[Part], *, more: float = 0.0) -> tuple[float, tuple[float, float]]:
    """Sum of weight times share, and its interval by square-and-add, inside [0, 1].

    Args:
        more: A squared half-width that belongs to neither part, e.g. of weights that are themselves estimated.
    """
    middle, below, above = 0.0, more, more
    for part in parts:
        middle += part.weight * part.share
        below += (part.weight * (part.share - part.low)) ** 2
        above += (part.weight * (part.high - part.share)) ** 2
    return middle, (max(0.0, middle - math.sqrt(below)), min(1.0, middle + math.sqrt(above)))
