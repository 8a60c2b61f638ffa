"""What is remembered of a budget between two checks: what was told, and what held lately."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watchkeeper.budgets.assessment import Assessment
from watchkeeper.foundation.money import NANO_PER_USD

HOLD = timedelta(hours=6)
"""How long spending must be ordinary again before a spike counts as over: pauses in one are part of it."""

_AGAIN = 0.9
"""A rolling period's threshold is told again once the spend has been below this share of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Since when a rule has held, and when it was last seen to."""

    since: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One budget as the last check left it.

    Attributes:
        starts: Of the period then; None before the first check, and of a rolling one.
        told: Thresholds that were told in that period.
        held: Rule -> since when it holds.
    """

    starts: datetime | None = None
    told: tuple[float, ...] = ()
    held: Mapping[str, Held] = field(default_factory=dict)


def remembered(memory: Memory, now: Assessment) -> tuple[Memory, tuple[float, ...]]:
    """The memory after a check, and the thresholds that were reached since the last."""
    rolling = now.term.ends is None
    starts = None if rolling else now.term.starts
    if rolling:
        kept = tuple(each for each in memory.told if now.share >= _AGAIN * each)
    else:
        kept = memory.told if memory.starts == starts else ()
    news = tuple(each for each in now.crossed if each not in kept)
    return Memory(starts=starts, told=tuple(sorted({*kept, *news})), held=_held(memory, now)), news


def _held(memory: Memory, now: Assessment) -> dict[str, Held]:
    held: dict[str, Held] = {}
    for rule in sorted({*memory.held, *now.rules}):
        before = memory.held.get(rule)
        if rule in now.rules:
            held[rule] = Held(since=before.since if before else now.at, last=now.at)
        # A limit is reached or it is not, and one that was raised is far off; the others waver.
        elif before is not None and rule != "limit" and not _is_far(rule, now) and now.at - before.last < HOLD:
            held[rule] = before
    return held


def _is_far(rule: str, now: Assessment) -> bool:
    """Whether a forecast that held is clearly below the limit now, as after somebody raised it."""
    ahead = None if now.forecast is None else now.forecast.usd
    return rule == "forecast" and ahead is not None and ahead * NANO_PER_USD < _AGAIN * now.budget.limit_nano_usd
