"""What a provider charged: lines of an invoice by day, model and usage class."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from watchkeeper.foundation.errors import NothingToCheck

Class = Literal["input", "output", "cache_read", "cache_write", "reasoning", "other"]
"""A bucket of tokens, or what is neither (a search, a file, a fee)."""

_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest|preview)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line.

    Attributes:
        model: As the provider names it; None for a credit, a fee, or where the invoice names none.
        usage: None where the invoice does not say.
        nano_usd: Below 0 for a credit.
        batch: It says that it was a batch.
    """

    day: date
    model: str | None
    usage: Class | None
    nano_usd: int
    batch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice of one provider.

    Attributes:
        provider: As records name it.
        lines: Of days in [first, last].
        zone: Whose days they are.
        ignored: Rows that are no lines: no amount, a sum at the end, days outside the window or not over yet.
    """

    provider: str
    lines: Sequence[Line]
    first: date
    last: date
    zone: ZoneInfo
    ignored: int = 0

    @property
    def window(self) -> tuple[datetime, datetime]:
        """Its days as instants [since, until), UTC."""
        return start_of(self.first, self.zone), start_of(self.last + timedelta(days=1), self.zone)


def invoice_of(
    provider: str,
    lines: Sequence[Line],
    *,
    first: date | None,
    last: date | None,
    zone: ZoneInfo,
    now: datetime,
    ignored: int = 0,
) -> Invoice:
    """The invoice of the days [first, last] that are over; None is as far as the lines go.

    Raises:
        NothingToCheck: If no line is of such a day.
    """
    yesterday = now.astimezone(zone).date() - timedelta(days=1)
    days = [line.day for line in lines]
    first = first or min(days, default=yesterday)
    last = min(last or max(days, default=yesterday), yesterday)
    inside = [line for line in lines if first <= line.day <= last]
    if not inside:
        raise NothingToCheck("the invoice has no line of a day that is over and inside --since and --until")
    return Invoice(
        provider=provider, lines=inside, first=first, last=last, zone=zone, ignored=ignored + len(lines) - len(inside)
    )


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins, UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def usage_class(text: str | None) -> Class | None:
    """The class a provider's words mean: "cached input", "input_cache_write_5m", "output_tokens" …; None for none."""
    words = (text or "").lower()
    if not words:
        return None
    if "cache" in words and "no_cache" not in words and "uncached" not in words:
        return "cache_write" if "writ" in words or "creat" in words else "cache_read"
    for name in ("reasoning", "input", "output"):
        if name in words:
            return name
    return "other"


def model_names(ours: Collection[str], theirs: Collection[str]) -> dict[str, str]:
    """Name of a model, theirs or ours -> the name both are compared under.

    Spelling is folded ("Claude Haiku 4.5" is claude-haiku-4-5). Where the two sides do not name the same snapshots of a
    model, all its snapshots are compared as one: an invoice says gpt-4o of what answered as gpt-4o-2024-08-06.
    """
    families: dict[str, tuple[set[str], set[str]]] = {}
    for place, names in enumerate((ours, theirs)):
        for name in names:
            families.setdefault(_family(name), (set(), set()))[place].add(_folded(name))
    found = {}
    for name in (*ours, *theirs):
        one, other = families[_family(name)]
        snapshots_agree = one == other or not one or not other
        found[name] = _folded(name) if snapshots_agree else min((_without_snapshot(each) for each in one), key=len)
    return found


def _folded(name: str) -> str:
    last = name.strip().lower().rsplit("/", 1)[-1]
    return re.sub(r"[^a-z0-9]+", "-", last).strip("-")


def _without_snapshot(folded: str) -> str:
    while (shorter := _SNAPSHOT.sub("", folded)) != folded:
        folded = shorter
    return folded


def _family(name: str) -> str:
    """In whatever order the words stand: "Claude Haiku 3.5" is claude-3-5-haiku."""
    return "-".join(sorted(_without_snapshot(_folded(name)).split("-")))
