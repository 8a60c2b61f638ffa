"""Which window a pull reads, in what slices, and how far the watermark then stands. Values in, values out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.sources.interface import Window

SLICE = timedelta(hours=1)
"""The longest stretch that is begun again when a pull is cut short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPlan:
    """How a source is read.

    Attributes:
        overlap: How far behind the watermark is read again, for spans that came late: longer than the longest request.
        settle: How far behind the present a pull stops, so that what just happened has arrived at the source.
        first: How far back the very first pull begins.
    """

    overlap: timedelta = timedelta(minutes=15)
    settle: timedelta = timedelta(seconds=120)
    first: timedelta = timedelta(hours=24)


def pull_window(
    watermark: datetime | None, plan: PullPlan, *, now: datetime, since: datetime | None = None
) -> Window | None:
    """What to read now; None when there is nothing yet.

    A watermark in the future was set by a clock that has been put right since. What it passed over is not known, so
    it is not believed, and the pull begins as the first one did.

    Args:
        since: Begin there, whatever the watermark says.
    """
    known = believed(watermark, now)
    if since is None:
        since = now - plan.first if known is None else known - plan.overlap
    until = now - plan.settle
    return Window(since=since, until=until) if since < until else None


def slices(window: Window, longest: timedelta = SLICE) -> Iterator[Window]:
    """The window in pieces, oldest first, each at most `longest`."""
    at = window.since
    while at < window.until:
        end = min(window.until, at + longest)
        yield Window(since=at, until=end)
        at = end


def moved(watermark: datetime | None, done: Window, *, now: datetime) -> datetime | None:
    """The watermark after everything in `done` is stored: never back, and never over a gap that nobody read."""
    known = believed(watermark, now)
    if known is None:
        return done.until
    return max(known, done.until) if done.since <= known else known


def believed(watermark: datetime | None, now: datetime) -> datetime | None:
    """The watermark, unless it lies in the future."""
    return watermark if watermark is not None and watermark <= now else None
