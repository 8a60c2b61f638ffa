"""Why a bill changed: volume, mix, tokens, price and failures, parts that add up exactly.

The cost of a window is a product of factors: requests, their shares by segment, tokens of each kind a request, price
of each kind, and how much failures add on top. A factor's part is its average effect over every order in which the
factors could have changed (Shapley), so nothing is left over and no order is preferred.

Source: L. S. Shapley, "A value for n-person games", in Contributions to the Theory of Games II (1953) 307-317.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import factorial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchkeeper.foundation.money import NANO_PER_USD

KINDS = ("input", "output", "cache_read", "cache_write", "reasoning", "request")
"""Buckets of tokens that do not overlap, and the call itself, whose price is what tokens do not explain."""

FACTORS = ("volume", "mix", "tokens", "price", "failures")

_SAME_PRICE = 0.003
"""Root mean square of what one price list for both windows leaves unexplained, below which prices did not change."""

_Floats = NDArray[np.float64]
Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """One priced call.

    Attributes:
        tokens: Bucket -> tokens, disjoint; empty when not known.
        failed: It ended in an error; what it cost was for nothing.
    """

    window: Side
    route: str
    model: str
    tokens: Mapping[str, int]
    cost_nano_usd: int
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CostChange:
    """The change in nano-dollars and its parts, which add up to it exactly."""

    before: int
    after: int
    parts: Mapping[str, int]

    @property
    def change(self) -> int:
        """After minus before."""
        return self.after - self.before


@dataclass(slots=True)
class _Segment:
    """One route and model in one window: tokens of what succeeded and costs in US dollars."""

    count: int = 0
    tokens: _Floats = field(default_factory=lambda: np.zeros(len(KINDS)))
    paid: float = 0.0
    wasted: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """All factors of one window; arrays over the segments, the last axis of two is KINDS."""

    volume: float
    mix: _Floats
    tokens: _Floats
    price: _Floats
    failures: _Floats


def attribute(calls: Sequence[Spent]) -> CostChange:
    """Split the change of cost between two windows.

    A segment that one window lacks is given the other's tokens and prices there: all its change is mix. Failed calls
    count by what they cost over what succeeded cost, segment by segment.
    """
    sums = {side: sum(c.cost_nano_usd for c in calls if c.window == side) for side in ("before", "after")}
    change = sums["after"] - sums["before"]
    if not calls:
        return CostChange(before=0, after=0, parts=dict.fromkeys(FACTORS, 0))
    segments = sorted({(c.route, c.model) for c in calls})
    found = {side: _segments(calls, side, segments) for side in ("before", "after")}
    prices = _prices(calls, segments)
    before, after = _states(found["before"], found["after"], *prices)
    parts = dict(zip(FACTORS, _shapley(before, after), strict=True))
    # What nothing but failures cost has no successes to be measured by: it is all failures.
    only_wasted = {side: sum(s.wasted for s in found[side] if not s.count) for side in found}
    parts["failures"] += only_wasted["after"] - only_wasted["before"]
    return CostChange(before=sums["before"], after=sums["after"], parts=_rounded(parts, change))


def _segments(calls: Sequence[Spent], side: str, names: Sequence[tuple[str, str]]) -> list[_Segment]:
    by_name = {name: _Segment() for name in names}
    for call in calls:
        if call.window != side:
            continue
        segment = by_name[call.route, call.model]
        if call.failed:
            segment.wasted += call.cost_nano_usd / NANO_PER_USD
        else:
            segment.count += 1
            segment.paid += call.cost_nano_usd / NANO_PER_USD
            segment.tokens += _amounts(call)
    return [by_name[name] for name in names]


def _amounts(call: Spent) -> _Floats:
    return np.array([*(call.tokens.get(kind, 0) for kind in KINDS[:-1]), 0 if call.tokens else 1], dtype=float)


def _prices(calls: Sequence[Spent], segments: Sequence[tuple[str, str]]) -> tuple[_Floats, _Floats]:
    """Dollars a token (and a call) of each kind, segment by segment, before and after: read off the calls' costs."""
    by_model: dict[str, dict[str, list[Spent]]] = {}
    for call in calls:
        if not call.failed:
            by_model.setdefault(call.model, {"before": [], "after": []})[call.window].append(call)
    fitted = {model: _fitted(sides["before"], sides["after"]) for model, sides in by_model.items()}
    none = (np.zeros(len(KINDS)), np.zeros(len(KINDS)))
    before, after = zip(*(fitted.get(model, none) for _, model in segments), strict=True)
    return np.array(before).reshape(-1, len(KINDS)), np.array(after).reshape(-1, len(KINDS))


def _fitted(before: Sequence[Spent], after: Sequence[Spent]) -> tuple[_Floats, _Floats]:
    both, paid = _table([*before, *after])
    common = _least_squares(both, paid, np.zeros(len(KINDS)))
    off = paid - both @ common
    if float(off @ off) <= _SAME_PRICE**2 * float(paid @ paid) or not before or not after:
        return common, common
    old, new = (_least_squares(*_table(side), common) for side in (before, after))
    return old, new


def _table(calls: Sequence[Spent]) -> tuple[_Floats, _Floats]:
    return np.array([_amounts(c) for c in calls]), np.array([c.cost_nano_usd / NANO_PER_USD for c in calls])


def _least_squares(amounts: _Floats, paid: _Floats, prior: _Floats) -> _Floats:
    """Prices nearest to a prior among those that explain the costs best."""
    scale = np.sqrt((amounts**2).mean(axis=0))
    used = scale > 0
    prices = prior.copy()
    if used.any():
        step, *_ = np.linalg.lstsq(amounts[:, used] / scale[used], paid - amounts @ prior, rcond=1e-9)
        prices[used] = prior[used] + step / scale[used]
    return prices


def _states(
    old: Sequence[_Segment], new: Sequence[_Segment], old_prices: _Floats, new_prices: _Floats
) -> tuple[_State, _State]:
    counts = [np.array([s.count for s in side], float) for side in (old, new)]
    tokens = [np.array([s.tokens / s.count if s.count else s.tokens * 0 for s in side]) for side in (old, new)]
    prices = [_exact(tokens[0], old_prices, old), _exact(tokens[1], new_prices, new)]
    wasted = [np.array([1 + s.wasted / s.paid if s.paid > 0 else 1.0 for s in side]) for side in (old, new)]
    for here, there in ((0, 1), (1, 0)):
        absent = counts[here] == 0
        for values in (tokens, prices, wasted):
            values[here][absent] = values[there][absent]

    def state(side: int) -> _State:
        count = counts[side]
        return _State(
            volume=float(count.sum()),
            mix=count / count.sum() if count.sum() else count,
            tokens=tokens[side],
            price=prices[side],
            failures=wasted[side],
        )

    return state(0), state(1)


def _exact(tokens: _Floats, prices: _Floats, segments: Sequence[_Segment]) -> _Floats:
    """Fitted prices, scaled so that each segment costs what it did cost; where that cannot be, the call's price."""
    exact = prices.copy()
    for place, segment in enumerate(segments):
        if not segment.count:
            continue
        paid, explained = segment.paid / segment.count, float(tokens[place] @ prices[place])
        if explained > 0 and (exact[place] >= 0).all():
            exact[place] *= paid / explained
        elif tokens[place].sum() > 0:
            exact[place] = paid / float(tokens[place].sum())
    return exact


def _cost(state: _State) -> float:
    return state.volume * float((state.mix * (state.tokens * state.price).sum(axis=1) * state.failures).sum())


def _shapley(before: _State, after: _State) -> list[float]:
    n = len(FACTORS)
    cost = {
        chosen: _cost(_State(**{f: getattr(after if f in chosen else before, f) for f in FACTORS}))
        for size in range(n + 1)
        for chosen in map(frozenset, combinations(FACTORS, size))
    }
    return [
        sum(
            factorial(len(s)) * factorial(n - 1 - len(s)) / factorial(n) * (cost[s | {factor}] - cost[s])
            for s in cost
            if factor not in s
        )
        for factor in FACTORS
    ]


def _rounded(parts: Mapping[str, float], change: int) -> dict[str, int]:
    """Whole nano-dollars that add up: what rounding leaves goes to the parts that lost most by it."""
    exact = {name: value * NANO_PER_USD for name, value in parts.items()}
    whole = {name: int(np.floor(value)) for name, value in exact.items()}
    left = change - sum(whole.values())
    order = sorted(exact, key=lambda name: whole[name] - exact[name])
    share, rest = divmod(left, len(order))
    return {name: whole[name] + share + (order.index(name) < rest) for name in exact}
