"""Time: always aware, always UTC, always from a Clock so that a test can hold it still."""

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

_AGE = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Clock(Protocol):
    """Where the present comes from."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FrozenClock:
    """A clock that moves only when told to."""

    def __init__(self, at: datetime) -> None:
        self.at = as_utc(at)

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        self.at += by


def as_utc(at: datetime) -> datetime:
    """The same instant in UTC.

    Raises:
        ValueError: If `at` has no time zone; guessing one would move records by hours.
    """
    if at.tzinfo is None:
        raise ValueError(f"time without a zone: {at.isoformat()}. Write e.g. {at.isoformat()}Z")
    return at.astimezone(UTC)


def parse_time(text: str) -> datetime:
    """An ISO 8601 instant with a zone ("2026-11-24T10:00:00.123Z") in UTC.

    Raises:
        ValueError: If it cannot be read or has no zone.
    """
    return as_utc(datetime.fromisoformat(text))


def parse_age(text: str) -> timedelta:
    """How long a person means by 30m, 24h, 7d, 2w or 90s.

    Raises:
        ValueError: If it is something else.
    """
    if (age := _AGE.fullmatch(text.strip())) is None:
        raise ValueError(f"not an age: {text[:40]!r}. Write 30m, 24h or 7d")
    return timedelta(**{_UNITS[age[2]]: int(age[1])})


def format_time(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and Z, the form of our JSON."""
    return as_utc(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
