"""Tables of plain text, and money and names in them."""

from collections.abc import Sequence

from watchkeeper.foundation.money import usd


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print rows under a head; the first `left` columns begin at the left, the others end at the right."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = zip(row, widths, strict=True)
        print("  ".join(c.ljust(w) if n < left else c.rjust(w) for n, (c, w) in enumerate(cells)).rstrip())


def word(value: str | None) -> str:
    """A name from outside, on one line and without control characters; "-" for none."""
    return "-" if value is None else "".join(c if c.isprintable() else "?" for c in value)[:60]


def money(nano: int, *, signed: bool = False) -> str:
    """ "$1,204.50", "-$0.0042"; with a plus where it is a change."""
    dollars = abs(usd(nano))
    sign = "-" if nano < 0 else "+" if signed and nano else ""
    return f"{sign}${dollars:,.2f}" if dollars >= 1 or not nano else f"{sign}${dollars:.4f}"
