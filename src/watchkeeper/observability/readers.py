"""Reading one attribute's value: each reader gives a value of the type we say, or raises ValueError."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from watchkeeper.foundation.clock import parse_time
from watchkeeper.foundation.money import nano_usd

Reader = Callable[[Any], Any]
"""Gives the value of the type we say, or raises ValueError: then that attribute is dropped and counted."""

_LARGEST = 2**53
_LONGEST_LABEL = 500
_DEEPEST = 100


def label(value: Any) -> str | None:
    """A short text; numbers and single-element lists are taken as one. Empty is missing."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_LABEL:
        raise ValueError
    return value


def text(value: Any) -> str | None:
    """Any text; what is structured as JSON."""
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def count(value: Any) -> int | None:
    """A whole number >= 0."""
    if isinstance(value, str):
        value = float(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST or value % 1:
        raise ValueError
    return int(value)


def seconds(value: Any) -> float | None:
    """Seconds >= 0 as milliseconds."""
    found = milliseconds(value)
    return None if found is None else found * 1000


def milliseconds(value: Any) -> float | None:
    """A duration >= 0."""
    if value is None:
        return None
    found = float(value)
    if isinstance(value, bool) or not math.isfinite(found) or found < 0:
        raise ValueError
    return found


def dollars(value: Any) -> int | None:
    """US dollars as nano-dollars."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise ValueError
    try:
        nano = nano_usd(value)
    except ArithmeticError:
        raise ValueError from None
    if nano > _LARGEST:
        raise ValueError
    return nano


def total_dollars(value: Any) -> int | None:
    """The total of a cost object; the sum of its parts when it has none."""
    costs = parsed(value)
    if not isinstance(costs, Mapping):
        raise ValueError
    if "total" in costs:
        return dollars(costs["total"])
    parts = [dollars(each) for each in costs.values()]
    return sum(each for each in parts if each is not None) if parts else None


def reasons(value: Any) -> str | None:
    """The first finish reason of a list, of a list as JSON, or alone."""
    if isinstance(value, str) and value[:1] == "[":
        value = parsed(value)
    if isinstance(value, list):
        value = next((each for each in value if each), None)
    return label(value)


def instant(value: Any) -> int | None:
    """An ISO time, also one quoted as JSON, in nanoseconds since 1970."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError
    since = parse_time(value.strip('"')) - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def parsed(value: Any) -> Any:
    """A structure, which conventions send as JSON text or as it is.

    Raises:
        ValueError: If it is text and no JSON.
    """
    if isinstance(value, str):
        found = orjson.loads(value)
        if "\\u0000" in value or value.count("[") + value.count("{") > _DEEPEST:
            return clean(found)
        return found
    return value


def structure(value: Any) -> Any:
    """A structure; text that is no JSON stays text."""
    try:
        return parsed(value)
    except ValueError:
        return value


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object, also as text."""
    found = parsed(value)
    if not isinstance(found, dict):
        raise ValueError
    return found


def anything(value: Any) -> Any:
    """As it is."""
    return value


def clean(value: Any, depth: int = 0) -> Any:
    """JSON without NUL, which an escape can bring back.

    Raises:
        ValueError: If it is nested too deeply.
    """
    if depth > _DEEPEST:
        raise ValueError
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd") if "\x00" in value else value
    if isinstance(value, dict):
        return {clean(k): clean(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [clean(each, depth + 1) for each in value]
    return value


def text_json(value: Any) -> str:
    """JSON text in the order it came."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a whole number of more than 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def from_json(value: str) -> Any:
    """What `text_json` wrote."""
    return json.loads(value)
