"""A budget and the period it is in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from watchkeeper.stats.budget import Period, period_of

Spend = Literal["llm", "judge", "regression"]
"""Whose calls: the application's, the judge's, the regression runs'."""

OWN_SOURCES: Mapping[str, Spend] = {"judge": "judge", "regression": "regression"}
"""`source` of a record -> whose spend it is; of every other source it is the application's."""

STEP = timedelta(minutes=5)
"""Amounts are added up in steps of it; a rolling period begins at one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A spending limit.

    Attributes:
        period: A calendar period of the zone, or the length of one that rolls with the present.
        where: Fact label -> the value it must have; None is "the record says none".
        week_start: Weekday a week begins on; Monday is 0.
        thresholds: Shares of the limit that are told when they are reached; ascending.
        least_nano_usd: Spend above the usual below which no spike is told.
    """

    name: str
    period: Period | timedelta
    limit_nano_usd: int
    where: Mapping[str, str | None] = field(default_factory=dict)
    zone: ZoneInfo
    week_start: int = 0
    spend: Spend = "llm"
    thresholds: tuple[float, ...] = (0.5, 0.8, 1.0)
    least_nano_usd: int = 0

    def term(self, now: datetime) -> "Term":
        """The period that `now` is in."""
        if isinstance(self.period, timedelta):
            seconds = STEP.total_seconds()
            begun = datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
            return Term(starts=(begun - self.period).astimezone(self.zone), ends=None)
        starts, ends = period_of(now, self.period, self.zone, week_start=self.week_start)
        return Term(starts=starts, ends=ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A budget's period, in its zone; a rolling one has no end: it is always about to end."""

    starts: datetime
    ends: datetime | None
