"""Which usage class most likely explains that an invoice and our figure differ: the one whose repricing closes most.

Each class is tried alone: what our figure would be if that class were charged the other way. What is then left of the
difference says how well it explains it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from watchkeeper.cost.prices import RateCard
from watchkeeper.cost.rates import BUCKETS
from watchkeeper.observability.request import Tokens
from watchkeeper.spending.invoice import Class
from watchkeeper.spending.recorded import Figures

Cause = Literal[
    "unknown_model", "missing_calls", "unpriced", "cache_read", "cache_write", "reasoning", "retries", "batch"
]

ENOUGH = 0.5
"""Share of the difference a class must close to be named."""

_BUSY_HOUR, _BUSY_HOURS = 10, 12
"""Calls an hour on average, and hours with any, from which on an hour of the day without any is a hole."""
_ALIKE = 0.1
"""How far the classes' ratios of invoice to our figure may lie apart, and still be the same for all."""

WORDS: Mapping[Cause, tuple[str, str]] = {
    "unknown_model": ("no call or no price of this model is known here", ""),
    "missing_calls": ("calls are missing in the records", ""),
    "unpriced": ("calls of it have no price here", ""),
    "cache_read": (
        "the invoice charges cache reads as input",
        "our figure charges cache reads as input",
    ),
    "cache_write": (
        "the invoice charges cache writes at their own rate, our figure as input",
        "our figure charges cache writes at their own rate, the invoice as input",
    ),
    "reasoning": (
        "reasoning is left out of our figure",
        "the invoice does not charge the reasoning that our figure has",
    ),
    "retries": (
        "calls that failed here were charged",
        "calls that failed here were not charged",
    ),
    "batch": ("", "the invoice has the batch discount"),
}
"""Cause -> in words, where the invoice is higher and where it is lower; "" where it cannot be lower for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The class that closes most of a difference.

    Attributes:
        closes: Share of the difference that is gone if that class is charged the other way, in [ENOUGH, 1].
        nano_usd: What charging it so adds to our figure.
    """

    cause: Cause
    closes: float
    nano_usd: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is known of one difference.

    Attributes:
        invoice_nano_usd: Charged.
        by_class: What of it was charged for each class; empty where the invoice does not say.
        batch_nano_usd: What of it was for batches.
        recorded: Our figures with the rates of their models; more than one where several are compared as one model.
        known_model: The model was recorded on some day.
        hours: Calls of this provider in each hour of that day.
    """

    invoice_nano_usd: int
    by_class: Mapping[Class, int]
    batch_nano_usd: int
    recorded: Sequence[tuple[Figures, RateCard | None]]
    known_model: bool
    hours: Sequence[int] = field(default_factory=tuple)

    @property
    def ours(self) -> int:
        """Our figure, nano-dollars of the calls that have a cost."""
        return sum(figures.cost_nano_usd for figures, _ in self.recorded)

    @property
    def gap(self) -> int:
        """What the invoice has more."""
        return self.invoice_nano_usd - self.ours


def explain_difference(case: Case) -> Explained | None:
    """The class that closes most of the difference; None when none closes at least half of it."""
    if not case.gap:
        return None
    higher = case.gap > 0
    best: Explained | None = None
    for cause, effect in _effects(case).items():
        words = WORDS[cause][0 if higher else 1]
        closes = 1 - abs(abs(case.gap) - effect) / abs(case.gap)
        if words and closes >= ENOUGH and (best is None or closes > best.closes + 1e-9):
            best = Explained(cause=cause, closes=closes, nano_usd=round(effect if higher else -effect), words=words)
    return best


def _effects(case: Case) -> dict[Cause, float]:
    """By how many nano-dollars each class alone would bring our figure towards the invoice; the surest first."""
    calls = sum(figures.calls for figures, _ in case.recorded)
    if case.gap > 0 and not calls:
        return {"missing_calls" if case.known_model else "unknown_model": float(case.gap)}
    effects: dict[Cause, float] = {}
    if case.gap > 0:
        unpriced = sum(_unpriced(*each) for each in case.recorded)
        # Calls without a price of which nothing tells what they cost: the model is known by its name only.
        effects["unknown_model"] = 0.0 if unpriced or case.ours else float(case.gap)
        effects["unpriced"] = unpriced
        effects["missing_calls"] = _same_for_every_class(case) or _holes(case)
    effects["cache_read"] = sum(_another_rate(*each, "cache_read", "input") for each in case.recorded)
    effects["cache_write"] = sum(_another_rate(*each, "cache_write", "input") for each in case.recorded)
    effects["reasoning"] = sum(_charge(figures.tokens, card, "reasoning") for figures, card in case.recorded)
    effects["retries"] = sum(_failed(figures, higher=case.gap > 0) for figures, _ in case.recorded)
    effects["batch"] = float(case.batch_nano_usd or case.ours / 2)
    return effects


def _rate(card: RateCard | None, bucket: str) -> Decimal | None:
    """US dollars a million tokens, which are a thousand times nano-dollars a token."""
    if card is None:
        return None
    instead = {"cache_read": "input", "cache_write": "input", "reasoning": "output"}.get(bucket)
    own = card.usd_per_million.get(bucket)
    return own if own is not None or instead is None else card.usd_per_million.get(instead)


def _charge(tokens: Tokens, card: RateCard | None, bucket: str) -> float:
    rate = _rate(card, bucket)
    return 0.0 if rate is None else float((getattr(tokens, bucket) or 0) * rate * 1000)


def _another_rate(figures: Figures, card: RateCard | None, bucket: str, other: str) -> float:
    own, instead = _rate(card, bucket), _rate(card, other)
    if own is None or instead is None:
        return 0.0
    return float((getattr(figures.tokens, bucket) or 0) * abs(instead - own) * 1000)


def _unpriced(figures: Figures, card: RateCard | None) -> float:
    """What the calls without a price would cost: by their tokens, or as much as the others."""
    if not figures.unpriced:
        return 0.0
    by_tokens = sum(_charge(figures.unpriced_tokens, card, name) for name in BUCKETS)
    return by_tokens or figures.unpriced * _mean(figures)


def _failed(figures: Figures, *, higher: bool) -> float:
    return figures.failed_unpriced * _mean(figures) if higher else float(figures.failed_nano_usd)


def _mean(figures: Figures) -> float:
    good = figures.cost_nano_usd - figures.failed_nano_usd
    return good / figures.priced if figures.priced else 0.0


def _holes(case: Case) -> float:
    """What the hours without any call would have cost, as the others did."""
    covered = sum(count > 0 for count in case.hours)
    holes = len(case.hours) - covered
    if not holes or covered < _BUSY_HOURS or sum(case.hours) / covered < _BUSY_HOUR:
        return 0.0
    return case.ours * holes / covered


def _same_for_every_class(case: Case) -> float:
    """The whole difference where every class is higher by the same factor: then it is calls, and not a class."""
    parts: dict[Class, float] = {"input": 0.0, "output": 0.0, "cache_read": 0.0, "cache_write": 0.0}
    for figures, card in case.recorded:
        for name in parts:
            parts[name] += _charge(figures.tokens, card, name)
        parts["output"] += _charge(figures.tokens, card, "reasoning")
    charged = dict(case.by_class)
    charged["output"] = charged.get("output", 0) + charged.pop("reasoning", 0)
    ratios = [charged.get(name, 0) / part for name, part in parts.items() if part > 0.01 * sum(parts.values())]
    if len(ratios) < 2 or not case.by_class or min(ratios) <= 1 or max(ratios) > min(ratios) * (1 + _ALIKE):
        return 0.0
    return float(case.gap)
