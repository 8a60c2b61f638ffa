"""What a number of cases can show, before and after a run.

All losses are shares (0.05 is five points). "Found" is: called regressed, one-sided at 5 %, in 80 % of runs.
"""

import math
from statistics import NormalDist

ALPHA = 0.05
Z_ALPHA = 1.6448536269514722
Z_POWER = 0.8416212335729143
"""Normal quantiles of 95 % (one-sided confidence) and 80 % (power); together 2.49."""

_Z = Z_ALPHA + Z_POWER
_MOST_CASES = 100_000_000


def detectable_loss(cases: int, changed: float) -> float:
    """The smallest loss found with 80 % by comparing pass/fail on the same cases, before a run.

    Args:
        cases: Number of cases, at least 1.
        changed: The share of cases expected to change in either direction, in [0, 1].

    Returns:
        2.49 * sqrt(changed / cases). A normal approximation: it promises too much where fewer than
        about six cases are expected to change.

    Raises:
        ValueError: If cases is below 1 or changed is not in [0, 1].
    """
    if cases < 1:
        raise ValueError(f"cases must be at least 1, got {cases}")
    if not 0 <= changed <= 1:
        raise ValueError(f"changed is a share between 0 and 1, got {changed}; for 10 % write 0.1")
    return _Z * math.sqrt(changed / cases)


def cases_to_pass(margin: float) -> int:
    """The fewest cases that can pass at a margin when nothing at all changed.

    With fewer, a candidate whose true loss is the margin shows no loss in more than 5 % of runs; of
    pass/fail scores only a significant gain passes then.

    Args:
        margin: The accepted loss, in (0, 1].

    Returns:
        59 at 0.05, 149 at 0.02, 29 at 0.10; 1 at a margin of 1.

    Raises:
        ValueError: If the margin is not in (0, 1].
    """
    check_margin(margin)
    if margin == 1:
        return 1
    return math.ceil(math.log(ALPHA) / math.log1p(-margin))


def check_margin(margin: float) -> None:
    """Refuse a margin that is no share above 0.

    Raises:
        ValueError: If it is not in (0, 1], or not a number.
    """
    if not 0 < margin <= 1:
        raise ValueError(
            f"the margin is the loss you accept, a share above 0 and at most 1, got {margin}. For 5 points write 0.05."
        )


def loss_found(cases: int, spread: float, *, graded: bool) -> float:
    """The smallest loss found with 80 % after a run, from the spread it showed.

    Never 0, also when nothing changed: a loss that small brings its own spread.

    Args:
        cases: Number of compared cases, at least 1.
        spread: Standard deviation of the cases' differences, at least 0.
        graded: Whether the scores are graded or repeated, which pays for one unseen case.
    """
    normal = _Z * spread / math.sqrt(cases)
    if not graded:
        # A loss of x changes at least a share x of the cases: x = Z * sqrt((x - x^2) / cases) at least.
        return min(1.0, max(normal, _Z**2 / (cases + _Z**2)))
    return min(1.0, _distance_needed(cases, spread, 1.0))


def cases_for(distance: float, spread: float, *, unseen: float | None) -> int | None:
    """How many cases decide, with 80 %, a difference that lies `distance` from the limit it must clear.

    Args:
        distance: Distance of the observed difference from 0 or from minus the margin.
        spread: Standard deviation of the cases' differences.
        unseen: For graded scores the distance of the unseen case from the limit; None for pass/fail.

    Returns:
        Number of cases, or None when the difference does not clear the limit, or hardly.
    """
    if distance <= 1e-9:
        return None
    if unseen is None:
        wanted = (_Z * spread / distance) ** 2
        return None if wanted > _MOST_CASES else max(1, math.ceil(wanted - 1e-9))
    low, high = 0, 1
    while _distance_needed(high, spread, unseen) > distance:
        low, high = high, high * 2
        if high > _MOST_CASES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _distance_needed(middle, spread, unseen) <= distance else (middle, high)
    return high


def cases_for_family(cases: int, p: float, p_adjusted: float) -> int:
    """How many cases make a regression significant among several scorers, with 80 %, if it goes on like this.

    Args:
        cases: Cases it was seen in.
        p: Its own p, in (0, 0.5).
        p_adjusted: Its p within the family, at least p.

    Returns:
        Number of cases; the normal value of p grows with the square root of their number.
    """
    normal = NormalDist()
    wanted = Z_POWER - normal.inv_cdf(ALPHA * p / p_adjusted)
    return math.ceil(cases * (wanted / -normal.inv_cdf(p)) ** 2)


def _distance_needed(cases: int, spread: float, unseen: float) -> float:
    """Normal approximation of the bound with one unseen case, plus what 80 % needs on top."""
    at_the_bound = unseen / cases + Z_ALPHA * math.sqrt(spread**2 / cases + (unseen / cases) ** 2)
    return at_the_bound + Z_POWER * spread / math.sqrt(cases)
