"""Reading what a source lists: one bad item costs itself and is counted, one bad page is a failure, never silence."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from watchkeeper.observability.fields import storable, storable_text
from watchkeeper.observability.otlp import Span
from watchkeeper.observability.request import Feedback
from watchkeeper.sources.http import Gone, SourceFailed
from watchkeeper.sources.interface import Page, Window, span_id_of, trace_id_of

_EPOCH = datetime.fromtimestamp(0, UTC)
_ERROR_NAME = re.compile(
    r"\s*([A-Za-z_][\w.]{0,200}?(?:Error|Exception|Timeout|Exceeded|Exhausted|Unavailable|Interrupt|Cancelled))(?=[:(]|\s*$)"
)


class Unusable(ValueError):
    """An item that cannot be taken; its text says why, in few words that recur."""


def first_there(*ways: Iterator[Page]) -> Iterator[Page]:
    """The pages of the first way whose endpoint the server has.

    Raises:
        Gone: If it has none of them.
    """
    for way in ways[:-1]:
        try:
            first = next(way)
        except Gone:
            continue
        except StopIteration:
            return
        yield first
        yield from way
        return
    yield from ways[-1]


def listed(answer: Any, key: str | None, name: str) -> list[Any]:
    """The items of an answer; an answer without them is no empty page.

    Args:
        key: Where they are; None where the answer itself is the list.

    Raises:
        SourceFailed: If they are not there.
    """
    items = answer if key is None else answer.get(key) if isinstance(answer, Mapping) else None
    if isinstance(items, list):
        return items
    raise SourceFailed(f"{name}: the answer has no list of {key or 'items'}; is base_url the API's own address?")


def new_cursor(cursor: Any, before: Any, name: str) -> Any:
    """The cursor of the next page.

    Raises:
        SourceFailed: If it is the one this page came by: the pages would never end.
    """
    if cursor is not None and cursor == before:
        raise SourceFailed(f"{name}: gives the same page again and again; what was read before it is kept")
    return cursor


def take_each(items: list[Any], take: Callable[[Mapping[str, Any]], None], counts: Counter[str]) -> None:
    """Take every item that can be taken; count the others by reason."""
    for item in items:
        try:
            if not isinstance(item, Mapping):
                raise Unusable("rejected: not an object")
            take(item)
        except Unusable as why:
            counts[str(why)] += 1
        except Exception:  # whatever a stranger's item can do, its neighbours are taken
            counts["rejected: content"] += 1


def required(item: Mapping[str, Any], key: str, word: str) -> Any:
    """A value no item can do without.

    Raises:
        Unusable: If it is missing or empty.
    """
    if (value := item.get(key)) is None or value == "" or isinstance(value, dict | list | bool):
        raise Unusable(f"rejected: no {word}")
    return value


def instant_ns(value: Any) -> int | None:
    """An ISO instant in nanoseconds since 1970, None when it is none; without a zone it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return ns_of(at.replace(tzinfo=UTC) if at.tzinfo is None else at)


def ns_of(at: datetime) -> int:
    """Nanoseconds since 1970."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def moment(value: Any) -> datetime | None:
    """As instant_ns, as an aware time."""
    ns = instant_ns(value)
    return None if ns is None else datetime.fromtimestamp(ns // 10**9, UTC).replace(microsecond=ns // 1000 % 10**6)


def start_of(item: Mapping[str, Any], key: str) -> int:
    """When an item started, in nanoseconds.

    Raises:
        Unusable: If it does not say.
    """
    if (start := instant_ns(item.get(key))) is None or start <= 0:
        raise Unusable("rejected: no start time")
    return start


def around(window: Window) -> tuple[str, str]:
    """The window's bounds to ask by, widened to whole milliseconds, which is as fine as sources look."""
    since = window.since.replace(microsecond=window.since.microsecond // 1000 * 1000)
    until = window.until + timedelta(microseconds=-window.until.microsecond % 1000)
    return iso(since), iso(until)


def iso(at: datetime) -> str:
    """In UTC, to the millisecond, with Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def within(window: Window, ns: int) -> bool:
    """Whether an instant is in the window: sources look less finely, and differ in what their bounds include."""
    return ns_of(window.since) <= ns < ns_of(window.until)


def error_type(told: Any) -> str | None:
    """The name of the error in a message or a traceback, "error" when it has none; None when nothing is told."""
    if told is None or told == "" or told is False:
        return None
    lines = [line for line in str(told).strip().splitlines() if line.strip()] or [""]
    for line in (lines[0], lines[-1]):
        if found := _ERROR_NAME.match(line[:500]):
            return found[1]
    return "error"


def said_of(kind: Any, value: Any, *, comment: Any = None, at: Any = None) -> Feedback:
    """What a user said; texts become storable.

    Args:
        at: The ISO instant, as the source wrote it.

    Raises:
        Unusable: If it says nothing.
        RejectedRecord: If it holds what no JSON can.
    """
    if value is None and comment in (None, ""):
        raise Unusable("rejected: feedback without a word")
    return Feedback(
        kind=storable_text(str(kind))[:500],
        value=storable(value),
        comment=storable_text(str(comment)) if comment else None,
        at=moment(at),
    )


def span_of(
    *,
    remote_trace_id: Any,
    remote_id: Any,
    remote_parent: Any,
    name: Any,
    start_ns: int,
    end_ns: int,
    error: str | None,
    attributes: Mapping[str, Any],
) -> Span:
    """A span in our normaliser's terms; attributes that are None are left out, texts become storable.

    Args:
        error: Its type; None when it went well.

    Raises:
        RejectedRecord: If an attribute holds what no JSON can.
    """
    known = {key: storable(value) for key, value in attributes.items() if value is not None}
    if error is not None:
        known["error.type"] = error
    return Span(
        trace_id_of(remote_trace_id),
        span_id_of(remote_id),
        span_id_of(remote_parent) if remote_parent else None,
        storable(str(name or "")),
        start_ns,
        max(start_ns, end_ns),
        error is not None,
        "",
        {},
        "",
        known,
        (),
    )
