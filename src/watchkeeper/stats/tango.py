"""Tango's score statistic and interval for the difference of two paired shares.

Source:
    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17 (1998) 891-908. The sign is turned here: a
    difference below zero is a loss.
"""

import math

_STEPS = 60
"""Halvings of (-1, 1): the bounds are exact to 1e-17, the precision of a float."""


def score(lost: int, gained: int, cases: int, difference: float) -> float:
    """How far the data lie above a supposed difference, in standard errors under it.

    Args:
        lost: Cases right before and wrong now.
        gained: Cases wrong before and right now.
        cases: All cases; at least lost + gained, at least 1.
        difference: The supposed gain rate minus loss rate, in [-1, 1].

    Returns:
        Z, without unit; +inf or -inf where the supposition leaves no variance and the data contradict
        it, 0.0 where they agree with it exactly.
    """
    a = 2 * cases
    b = -lost - gained + (2 * cases - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    loss_rate = (-b + math.sqrt(max(b * b - 4 * a * c, 0.0))) / (2 * a)
    loss_rate = min(max(loss_rate, 0.0, -difference), 1.0)
    variance = cases * (2 * loss_rate + difference * (1 - difference))
    distance = gained - lost - cases * difference
    if variance > 1e-12:
        return distance / math.sqrt(variance)
    return math.copysign(math.inf, distance) if abs(distance) > 1e-9 else 0.0


def interval(lost: int, gained: int, cases: int, z: float) -> tuple[float, float]:
    """The differences that the data do not contradict: those with |score| <= z.

    Args:
        lost: As in `score`.
        gained: As in `score`.
        cases: As in `score`.
        z: Normal quantile; 1.959964 gives two-sided 95 %.

    Returns:
        (low, high), shares in [-1, 1], low < high: never of width zero.
    """
    # Mirroring one bound keeps the interval of swapped sides the exact mirror image.
    return lower_bound(lost, gained, cases, z), -lower_bound(gained, lost, cases, z)


def lower_bound(lost: int, gained: int, cases: int, z: float) -> float:
    """The low end of `interval`; the high end is minus that of the swapped sides."""
    low, high = -1.0, (gained - lost) / cases
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if score(lost, gained, cases, middle) > z:
            low = middle
        else:
            high = middle
    return low
