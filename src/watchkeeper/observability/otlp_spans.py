"""What an OTLP body holds, whatever its encoding."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DETAILS_EVENT = "gen_ai.client.inference.operation.details"
"""The log record that holds what a span left out."""

DEEPEST = 30
"""Levels of one attribute's value."""

LAST_NS = 253_402_300_799 * 10**9  # 9999-12-31, the last day a datetime can say

MALFORMED = object()
"""In the place of a value that cannot be read."""


class Unreadable(Exception):
    """The body cannot be decoded; sending it again will not help.

    Args:
        too_large: It is over the limit (HTTP 413), not broken (400).
    """

    def __init__(self, problem: str, *, too_large: bool = False) -> None:
        self.problem, self.too_large = problem, too_large
        super().__init__(problem)


class Event(NamedTuple):
    """Something that happened inside a span, with its time in nanoseconds."""

    name: str
    at_ns: int
    attributes: Mapping[str, Any]


class Span(NamedTuple):
    """One span as it was sent; ids in lower-case hex, times in nanoseconds since 1970.

    `error` is whether its status says so. A log record that belongs to a span comes as a Span
    of scope "" with `is_log` set; its times are the record's.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_ns: int
    end_ns: int
    error: bool
    status_message: str
    resource: Mapping[str, Any]
    scope: str
    attributes: Mapping[str, Any]
    events: tuple[Event, ...]
    is_log: bool = False


@dataclass(slots=True)
class Decoded:
    """What a body held. `counts` names what was dropped or mended: "attribute", "rejected: span id", …"""

    spans: list[Span] = field(default_factory=list)
    rejected: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def reject(self, why: str) -> None:
        """Count a span that cannot be taken."""
        self.rejected += 1
        self.counts[f"rejected: {why}"] += 1


def take_log(
    decoded: Decoded,
    resource: Mapping[str, Any],
    name: Any,
    given: dict[str, Any],
    ids: tuple[str | None, str | None],
    at: int,
    inside: Any,
) -> None:
    trace_id, span_id = ids
    if (name or given.get("event.name")) != DETAILS_EVENT or trace_id is None or span_id is None:
        decoded.counts["log records of other kinds"] += 1
        return
    more = inside if isinstance(inside, dict) else {}
    at = at if 0 < at <= LAST_NS else 0
    decoded.spans.append(
        Span(trace_id, span_id, None, DETAILS_EVENT, at, at, False, "", resource, "", more | given, (), True)
    )


def problem(trace_id: bool, span_id: bool, start: int, end: int) -> str:
    """Why a span cannot be taken; "" when it can. A duration below zero is one of zero (`conventions`)."""
    if not trace_id:
        return "trace id"
    if not span_id:
        return "span id"
    return "" if 0 < start <= LAST_NS and 0 < end <= LAST_NS else "time"


def text(text: str) -> str:
    """Storable on every engine, as `fields.storable_text`."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
