"""Money: whole nano-dollars, so that a million tiny costs add up exactly.

A cost that is not known is None everywhere, never 0.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

NANO_PER_USD = 1_000_000_000


def nano_usd(usd: Decimal | str | int | float) -> int:
    """US dollars as whole nano-dollars, half to even.

    A float is read by its shortest decimal form, so 0.0219 is 21,900,000 and not a digit less.

    Raises:
        ValueError: If the amount is negative or not finite.
    """
    amount = Decimal(str(usd))
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"an amount of money must be finite and >= 0, got {usd}")
    return int((amount * NANO_PER_USD).to_integral_value(rounding=ROUND_HALF_EVEN))


def usd(nano: int) -> Decimal:
    """Nano-dollars as exact US dollars."""
    return Decimal(nano) / NANO_PER_USD


def total(costs: Iterable[int | None]) -> int | None:
    """The sum of the known costs in nano-dollars, or None when none is known."""
    known = [c for c in costs if c is not None]
    return sum(known) if known else None


def show_usd(nano: int | None) -> str:
    """For people: "$1.06", "$0.0042", "$0.000027", or "unpriced" for None."""
    if nano is None:
        return "unpriced"
    dollars = usd(nano)
    if dollars >= 1 or nano == 0:
        return f"${dollars:.2f}"
    return f"${dollars:.4f}" if dollars >= Decimal("0.001") else f"${dollars:.9f}".rstrip("0")
