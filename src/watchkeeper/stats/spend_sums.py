"""What is needed of calls to say why their cost changed: sums by segment, from which prices can be read off.

A million calls become a few numbers a segment: counts, tokens, exact costs, and the sufficient statistics of a least
squares fit of the costs by the tokens.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchkeeper.foundation.money import NANO_PER_USD

KINDS = ("input", "output", "cache_read", "cache_write", "reasoning", "request")
"""Buckets of tokens that do not overlap, and the call itself, whose price is what tokens do not explain."""

_SAME_PRICE = 0.003
"""Root mean square of what one price list for both windows leaves unexplained, below which prices did not change."""

_CUTOFF = 1e-11
"""Eigenvalues below this share of the largest are noise: there the tokens cannot tell two prices apart."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSums:
    """The priced calls of one window, added up by segment; the first axis of every array is the segment.

    Attributes:
        count: Calls that succeeded, shape (segments,).
        tokens: Of those calls, shape (segments, kinds).
        paid: Exact nano-dollars of those calls, one a segment.
        wasted: Exact nano-dollars of the calls that failed.
        products: Sums of the products of two kinds' tokens in one call, shape (segments, kinds, kinds).
        paid_products: Sums of tokens times US dollars, shape (segments, kinds).
        paid_squares: Sums of squared US dollars, shape (segments,).
    """

    count: Floats
    tokens: Floats
    paid: list[int]
    wasted: list[int]
    products: Floats
    paid_products: Floats
    paid_squares: Floats

    @property
    def total(self) -> int:
        """Exact nano-dollars of all calls."""
        return sum(self.paid) + sum(self.wasted)


def amounts(tokens: Floats) -> Floats:
    """The kinds of each call: tokens of shape (calls, 5), and 1 for a call that says none."""
    return np.column_stack([tokens, (tokens.sum(axis=1) == 0).astype(np.float64)])


def summed(
    segment: NDArray[np.int64],
    kinds: Floats,
    cost_nano_usd: NDArray[np.int64],
    failed: NDArray[np.bool_],
    *,
    segments: int,
) -> WindowSums:
    """Add calls up.

    Args:
        segment: Of each call, in [0, segments).
        kinds: `amounts` of each call, shape (calls, kinds).
        failed: It ended in an error; what it cost was for nothing.
    """
    n = len(KINDS)
    good = np.flatnonzero(~failed)
    order = good[np.argsort(segment[good], kind="stable")]
    rows, paid = kinds[order], cost_nano_usd[order] / NANO_PER_USD
    starts = np.searchsorted(segment[order], np.arange(segments + 1))
    tokens, products = np.zeros((segments, n)), np.zeros((segments, n, n))
    paid_products, paid_squares = np.zeros((segments, n)), np.zeros(segments)
    for place in np.flatnonzero(np.diff(starts)):
        mine, cost = rows[starts[place] : starts[place + 1]], paid[starts[place] : starts[place + 1]]
        tokens[place] = mine.sum(axis=0)
        products[place] = mine.T @ mine
        paid_products[place] = mine.T @ cost
        paid_squares[place] = cost @ cost
    return WindowSums(
        count=np.diff(starts).astype(np.float64),
        tokens=tokens,
        paid=exact_sums(segment[good], cost_nano_usd[good], segments),
        wasted=exact_sums(segment[failed], cost_nano_usd[failed], segments),
        products=products,
        paid_products=paid_products,
        paid_squares=paid_squares,
    )


def exact_sums(group: NDArray[np.int64], values: NDArray[np.int64], groups: int) -> list[int]:
    """The sum of each group, in two halves so that none leaves 64 bits."""
    high, low = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    np.add.at(high, group, values >> 32)
    np.add.at(low, group, values & 0xFFFFFFFF)
    return [(int(h) << 32) + int(part) for h, part in zip(high, low, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """US dollars a token (and a call) of each kind, of every segment; arrays of shape (segments, kinds).

    Attributes:
        by_call: Segments that are paid by the call, whatever its tokens; shape (segments,).
    """

    before: Floats
    after: Floats
    by_call: NDArray[np.bool_]


def prices(models: NDArray[np.int64], before: WindowSums, after: WindowSums) -> Prices:
    """What was paid for what, read off the calls' costs.

    Segments of one model have the same prices. Where one price list explains both windows, prices did not change. A
    model is paid by the call where one price of a call explains both windows, or one each does and tokens do not.

    Args:
        models: Number of each segment's model, shape (segments,).
    """
    found = Prices(
        before=np.zeros(before.tokens.shape),
        after=np.zeros(after.tokens.shape),
        by_call=np.zeros(len(models), np.bool_),
    )
    for model in np.unique(models):
        own = models == model
        old, new = _Normal.of(before, own), _Normal.of(after, own)
        if _paid_by_call(old, new):
            found.by_call[own] = True
            found.before[own, -1], found.after[own, -1] = old.total / max(1, old.count), new.total / max(1, new.count)
        else:
            found.before[own], found.after[own] = _fitted(old, new)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Normal:
    """The normal equations of some calls."""

    count: float
    products: Floats
    paid: Floats
    squares: float
    total: float

    @classmethod
    def of(cls, sums: WindowSums, own: NDArray[np.bool_]) -> "_Normal":
        return cls(
            count=float(sums.count[own].sum()),
            products=sums.products[own].sum(axis=0),
            paid=sums.paid_products[own].sum(axis=0),
            squares=float(sums.paid_squares[own].sum()),
            total=sum(paid for paid, mine in zip(sums.paid, own, strict=True) if mine) / NANO_PER_USD,
        )

    def __add__(self, other: "_Normal") -> "_Normal":
        return _Normal(
            count=self.count + other.count,
            products=self.products + other.products,
            paid=self.paid + other.paid,
            squares=self.squares + other.squares,
            total=self.total + other.total,
        )

    @property
    def is_flat(self) -> bool:
        """Whether one price of a call explains all of them."""
        return self.squares - self.total**2 / max(1, self.count) <= _SAME_PRICE**2 * self.squares

    @property
    def is_by_token(self) -> bool:
        """Whether prices of tokens do."""
        return self.unexplained(self.nearest(np.zeros(len(KINDS)))) <= _SAME_PRICE**2 * self.squares

    def unexplained(self, price: Floats) -> float:
        """Squared US dollars that these prices leave."""
        return self.squares - 2 * float(price @ self.paid) + float(price @ self.products @ price)

    def nearest(self, prior: Floats) -> Floats:
        """Prices nearest to a prior among those that explain the costs best."""
        scale = np.sqrt(np.diag(self.products))
        used = scale > 0
        price = prior.copy()
        if used.any():
            by = scale[used]
            equations = self.products[np.ix_(used, used)] / np.outer(by, by)
            off = (self.paid - self.products @ prior)[used] / by
            values, vectors = np.linalg.eigh(equations)
            kept = values > _CUTOFF * values[-1]
            step = vectors[:, kept] @ ((vectors[:, kept].T @ off) / values[kept])
            price[used] = prior[used] + step / by
        return price


def _paid_by_call(before: _Normal, after: _Normal) -> bool:
    if not before.count or not after.count:
        return False
    apart = before.is_flat and after.is_flat and not (before.is_by_token and after.is_by_token)
    return (before + after).is_flat or apart


def _fitted(before: _Normal, after: _Normal) -> tuple[Floats, Floats]:
    both = before + after
    common = both.nearest(np.zeros(len(KINDS)))
    same = both.unexplained(common) <= _SAME_PRICE**2 * both.squares
    if same or not before.count or not after.count:
        return common, common
    return before.nearest(common), after.nearest(common)
