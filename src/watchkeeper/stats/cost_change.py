"""Why a bill changed: volume, mix, tokens, price and failures, parts that add up exactly.

The cost of a window is a product of factors: requests, their shares by segment, tokens of each kind a request, price
of each kind, and how much failures add on top. A factor's part is its average effect over every order in which the
factors could have changed (Shapley), so nothing is left over and no order is preferred. The cost is a sum over
segments, so each segment has parts of its own, and they add up to the whole's.

Source: L. S. Shapley, "A value for n-person games", in Contributions to the Theory of Games II (1953) 307-317.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from math import factorial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchkeeper.foundation.money import NANO_PER_USD
from watchkeeper.stats.spend_sums import KINDS, Floats, Prices, WindowSums, amounts, prices, summed

FACTORS = ("volume", "mix", "tokens", "price", "failures")

TOKEN_FACTORS = ("input", "output", "cache_share", "uncounted")
"""Of "tokens": length of prompts at the same share of the cache, length of answers with reasoning, that share itself,
and calls that do not say their tokens."""

_PROMPT = [KINDS.index(kind) for kind in ("input", "cache_read", "cache_write")]
_ANSWER = [KINDS.index(kind) for kind in ("output", "reasoning")]

Side = Literal["before", "after"]
Segment = tuple[str, str]
"""Route and model."""


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
    """The change in nano-dollars and its parts, which add up to it exactly.

    Attributes:
        parts: FACTORS -> nano-dollars.
        tokens: TOKEN_FACTORS -> nano-dollars; they add up to the part "tokens".
    """

    before: int
    after: int
    parts: Mapping[str, int]
    tokens: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(TOKEN_FACTORS, 0))

    @property
    def change(self) -> int:
        """After minus before."""
        return self.after - self.before

    def __add__(self, other: "CostChange") -> "CostChange":
        return CostChange(
            before=self.before + other.before,
            after=self.after + other.after,
            parts={name: self.parts[name] + other.parts[name] for name in FACTORS},
            tokens={name: self.tokens[name] + other.tokens[name] for name in TOKEN_FACTORS},
        )


NO_CHANGE = CostChange(before=0, after=0, parts=dict.fromkeys(FACTORS, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """All factors of one window; arrays over the segments, the last axis of two is KINDS."""

    volume: float
    mix: Floats
    tokens: Floats
    price: Floats
    failures: Floats


def attribute(calls: Sequence[Spent]) -> CostChange:
    """Split the change of cost between two windows.

    A segment that one window lacks is given the other's tokens and prices there: all its change is mix, but for what
    failed, which is failures. A window in which nothing succeeded is given the other's mix too: all is volume.
    Elsewhere failed calls count by what they cost over what succeeded cost, segment by segment.
    """
    if not calls:
        return NO_CHANGE
    segments = sorted({(c.route, c.model) for c in calls})
    number = {name: place for place, name in enumerate(segments)}
    place = np.array([number[c.route, c.model] for c in calls], np.int64)
    kinds = amounts(np.array([[c.tokens.get(kind, 0) for kind in KINDS[:-1]] for c in calls], np.float64))
    cost = np.array([c.cost_nano_usd for c in calls], np.int64)
    failed = np.array([c.failed for c in calls], np.bool_)
    old = np.array([c.window == "before" for c in calls], np.bool_)
    before, after = (
        summed(place[side], kinds[side], cost[side], failed[side], segments=len(segments)) for side in (old, ~old)
    )
    return sum(attribute_sums(segments, before, after), NO_CHANGE)


def attribute_sums(
    segments: Sequence[Segment], before: WindowSums, after: WindowSums, *, hours: tuple[float, float] = (1.0, 1.0)
) -> list[CostChange]:
    """The change of each segment with its parts; added up, they are the whole's.

    Args:
        segments: Of the sums' first axis.
        hours: What the figures of the two windows are divided by; (1, 1) compares their totals.
    """
    numbers = {name: number for number, name in enumerate(sorted({model for _, model in segments}))}
    models = np.array([numbers[model] for _, model in segments], np.int64)
    old, new = _states(before, after, prices(models, before, after), hours)
    by_factor, a_token = _shapley(old, new)
    # Where one window has no paid success to measure failures by, all they cost is failures.
    lacking = ~_measured(before, after)
    wasted = _usd(after.wasted) / hours[1] - _usd(before.wasted) / hours[0]
    by_factor[FACTORS.index("failures")] += np.where(lacking, wasted, 0.0)
    by_token_factor = _token_factors(a_token, old.tokens, new.tokens)
    changes = []
    for place in range(len(segments)):
        was, now = (
            round(Fraction(side.paid[place] + side.wasted[place]) / Fraction(length))
            for side, length in zip((before, after), hours, strict=True)
        )
        parts = _rounded(dict(zip(FACTORS, by_factor[:, place], strict=True)), now - was)
        tokens = _rounded(dict(zip(TOKEN_FACTORS, by_token_factor[:, place], strict=True)), parts["tokens"])
        changes.append(CostChange(before=was, after=now, parts=parts, tokens=tokens))
    return changes


def _usd(nano: Sequence[int]) -> Floats:
    return np.array([amount / NANO_PER_USD for amount in nano], np.float64)


def _measured(before: WindowSums, after: WindowSums) -> NDArray[np.bool_]:
    """Segments whose failures can be counted by what successes cost, in both windows."""
    return np.asarray((_usd(before.paid) > 0) & (_usd(after.paid) > 0))


def _states(before: WindowSums, after: WindowSums, fitted: Prices, hours: tuple[float, float]) -> tuple[_State, _State]:
    sides = (before, after)
    counts = [side.count for side in sides]
    tokens = [side.tokens / np.maximum(side.count, 1)[:, None] for side in sides]
    for each in tokens:  # what is paid by the call is one thing a call, however long it is
        each[fitted.by_call] = 0.0
        each[fitted.by_call, -1] = 1.0
    price = [_exact(tokens[0], fitted.before, before), _exact(tokens[1], fitted.after, after)]
    failures, measured = [], _measured(before, after)
    for side in sides:
        paid, wasted = _usd(side.paid), _usd(side.wasted)
        failures.append(1 + np.divide(wasted, paid, out=np.zeros_like(paid), where=measured))
    totals = [float(each.sum()) for each in counts]
    mix = [each / max(1, total) for each, total in zip(counts, totals, strict=True)]
    for here, there in ((0, 1), (1, 0)):
        absent = counts[here] == 0
        for values in (tokens, price):
            values[here][absent] = values[there][absent]
        if not totals[here]:
            mix[here] = mix[there]

    def state(side: int) -> _State:
        return _State(
            volume=totals[side] / hours[side],
            mix=mix[side],
            tokens=tokens[side],
            price=price[side],
            failures=failures[side],
        )

    return state(0), state(1)


def _exact(tokens: Floats, fitted: Floats, sums: WindowSums) -> Floats:
    """Fitted prices, scaled so that each segment costs what it did cost; where that cannot be, the call's price."""
    exact, paid = fitted.copy(), _usd(sums.paid)
    for place in np.flatnonzero(sums.count):
        each, explained = paid[place] / sums.count[place], float(tokens[place] @ fitted[place])
        if explained > 0 and (exact[place] >= 0).all():
            exact[place] *= each / explained
        else:
            exact[place] = each / float(tokens[place].sum())
    return exact


def _shapley(before: _State, after: _State) -> tuple[Floats, Floats]:
    """US dollars of each factor, shape (factors, segments); and of one token more a request, (segments, kinds)."""
    n = len(FACTORS)
    weight = [factorial(size) * factorial(n - 1 - size) / factorial(n) for size in range(n)]
    cost: dict[frozenset[str], Floats] = {}
    a_token = np.zeros_like(before.tokens)
    for size in range(n + 1):
        for chosen in map(frozenset, combinations(FACTORS, size)):
            mixed = _State(**{f: getattr(after if f in chosen else before, f) for f in FACTORS})
            each = (mixed.volume * mixed.mix * mixed.failures)[:, None] * mixed.price
            cost[chosen] = (each * mixed.tokens).sum(axis=1)
            if "tokens" not in chosen:
                a_token += weight[size] * each
    parts = [
        np.sum([weight[len(s)] * (cost[s | {factor}] - cost[s]) for s in cost if factor not in s], axis=0)
        for factor in FACTORS
    ]
    return np.array(parts), a_token


def _token_factors(a_token: Floats, before: Floats, after: Floats) -> Floats:
    """The part of tokens by TOKEN_FACTORS, shape (factors, segments).

    A prompt's tokens of one kind are its length times that kind's share: each one's change counts at the mean of the
    other.
    """
    by_kind = a_token * (after - before)
    lengths = [tokens[:, _PROMPT].sum(axis=1, keepdims=True) for tokens in (before, after)]
    shares = [
        np.divide(tokens[:, _PROMPT], length, out=np.zeros((len(length), len(_PROMPT))), where=length > 0)
        for tokens, length in zip((before, after), lengths, strict=True)
    ]
    for here, there in ((0, 1), (1, 0)):
        empty = lengths[here][:, 0] == 0
        shares[here][empty] = shares[there][empty]
    longer = (a_token[:, _PROMPT] * (shares[0] + shares[1]) / 2 * (lengths[1] - lengths[0])).sum(axis=1)
    prompt = by_kind[:, _PROMPT].sum(axis=1)
    return np.array([longer, by_kind[:, _ANSWER].sum(axis=1), prompt - longer, by_kind[:, -1]])


def _rounded(parts: Mapping[str, float], change: int) -> dict[str, int]:
    """Whole nano-dollars that add up: what rounding leaves goes to the parts that lost most by it."""
    exact = {name: value * NANO_PER_USD for name, value in parts.items()}
    whole = {name: int(np.floor(value)) for name, value in exact.items()}
    left = change - sum(whole.values())
    order = sorted(exact, key=lambda name: whole[name] - exact[name])
    share, rest = divmod(left, len(order))
    return {name: whole[name] + share + (order.index(name) < rest) for name in exact}
