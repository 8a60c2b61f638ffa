"""Several tests at once: what their p values mean together."""

from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values that hold the chance of any false finding.

    Args:
        p: One p per test, in [0, 1], in any order; dependence between the tests does no harm.

    Returns:
        Adjusted p in the order given, each at least its p and at most 1.

    Raises:
        ValueError: If a p is not in [0, 1].

    Source:
        S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
        Statistics 6 (1979) 65-70.
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(_ascending(p)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = largest
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p values that hold the expected share of false findings among the findings.

    Args:
        p: One p per test, in [0, 1], in any order.

    Returns:
        Adjusted p in the order given, each at least its p and at most 1.

    Raises:
        ValueError: If a p is not in [0, 1].

    Source:
        Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", Journal of the Royal
        Statistical Society B 57 (1995) 289-300.
    """
    adjusted, smallest = [0.0] * len(p), 1.0
    for rank, place in reversed(list(enumerate(_ascending(p), start=1))):
        smallest = min(smallest, len(p) / rank * p[place])
        adjusted[place] = smallest
    return adjusted


def _ascending(p: Sequence[float]) -> list[int]:
    for value in p:
        if not 0 <= value <= 1:
            raise ValueError(f"a p value lies between 0 and 1, got {value}")
    return sorted(range(len(p)), key=lambda place: p[place])
