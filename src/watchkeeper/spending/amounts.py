"""Amounts of money as spreadsheets write them: one column at a time, for one value alone may mean two things."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from watchkeeper.foundation.money import NANO_PER_USD

_OTHER_CURRENCY = re.compile(r"[€£¥₹]|\b(EUR|GBP|JPY|CHF|CAD|AUD|INR|CNY)\b", re.IGNORECASE)
_DECORATION = re.compile(r"[\s\u00a0\u202f$']|\bUSD\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d[\d.,]*(?:[eE][+-]?\d+)?|[.,]\d+(?:[eE][+-]?\d+)?", re.ASCII)
_LARGEST = 10**12


def decimal_sign(values: Sequence[str], *, semicolons: bool) -> str:
    """Which of "." and "," separates the decimals in a column.

    Args:
        semicolons: The file separates its columns by semicolons, as programs do where the comma is the decimal sign.

    Raises:
        ValueError: If some values can only be read one way and others only the other.
    """
    signs = {sign for value in values if (sign := _evident(_bare(value)[0])) is not None}
    if len(signs) > 1:
        raise ValueError("some amounts have a decimal point and others a decimal comma")
    return signs.pop() if signs else "," if semicolons else "."


def nano_amount(text: str, sign: str) -> int:
    """Nano-dollars of one amount: "$1,234.50", "-3", "(3.00)", "1.5e-05", "1 234,50 USD".

    Args:
        sign: What separates the decimals.

    Raises:
        ValueError: If it is no amount of US dollars.
    """
    if _OTHER_CURRENCY.search(text):
        raise ValueError(f"{text[:40]!r} is not in US dollars; convert the file first")
    bare, negative = _bare(text)
    if not _NUMBER.fullmatch(bare):
        raise ValueError(f"{text[:40]!r} is no amount of money")
    other = "," if sign == "." else "."
    whole = bare.partition(sign)[0]
    if other in bare and not re.fullmatch(rf"\d{{1,3}}(?:{re.escape(other)}\d{{3}})+", whole):
        raise ValueError(f"{text[:40]!r} is no amount of money")
    try:
        amount = Decimal(bare.replace(other, "").replace(sign, "."))
    except InvalidOperation:
        raise ValueError(f"{text[:40]!r} is no amount of money") from None
    if not amount.is_finite() or amount >= _LARGEST:
        raise ValueError(f"{text[:40]!r} is more than anybody can be charged")
    nano = int((amount * NANO_PER_USD).to_integral_value())
    return -nano if negative else nano


def _bare(text: str) -> tuple[str, bool]:
    """The digits and signs of an amount, and whether it is below 0."""
    plain = _DECORATION.sub("", text).replace("\u2212", "-")
    if plain.startswith("(") and plain.endswith(")"):
        return plain[1:-1], True
    if plain.endswith("-"):
        plain = f"-{plain[:-1]}"
    return plain.removeprefix("+").removeprefix("-"), plain.startswith("-")


def _evident(bare: str) -> str | None:
    """The decimal sign, where a value can be read in one way only."""
    points, commas = bare.count("."), bare.count(",")
    if points and commas:
        return "." if bare.rindex(".") > bare.rindex(",") else ","
    if not points and not commas:
        return None
    sign = "." if points else ","
    other = "," if points else "."
    if points + commas > 1:
        return other
    before, _, after = bare.partition(sign)
    return sign if len(after) != 3 or not 1 <= len(before) <= 3 or before.startswith("0") else None
