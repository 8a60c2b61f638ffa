"""A point in time as people write it in an option: an instant with a zone, or how long ago."""

from contextlib import suppress
from datetime import datetime

from watchkeeper.foundation.clock import parse_age, parse_time
from watchkeeper.foundation.errors import Misconfigured


def instant_of(option: str, text: str | None, now: datetime) -> datetime | None:
    """The time an option names, or None when it was not given.

    Raises:
        Misconfigured: If it is neither an instant with a zone nor an age such as 24h.
    """
    if text is None:
        return None
    try:
        with suppress(ValueError):
            return now - parse_age(text)
        return parse_time(text)
    except (ValueError, OverflowError):
        raise Misconfigured(
            f"{option} {text!r}: write a time with a zone (2026-11-24T10:00:00Z) or 24h, 7d, 30m"
        ) from None
