"""Reading one record's fields: each reader gives a value of the type we say, or names field and problem."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from watchkeeper.foundation.clock import parse_time
from watchkeeper.foundation.errors import Rejected
from watchkeeper.foundation.money import nano_usd

_LARGEST = 2**53
"""Tokens or nano-dollars of one call: beyond it a sum would leave the store's 64 bits."""

_DEEPEST = 100
T = TypeVar("T")
_HEX = re.compile(r"[0-9a-f]+")


class RejectedRecord(Rejected):
    """One record refused by a rule; the others are not touched.

    Args:
        field: Path of the field, e.g. "calls[0].usage.input"; "" for the whole record.
        problem: What is wrong and what to write, without the value: it may be a customer's words.
    """

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(f"{field}: {problem}" if field else problem)


def storable(value: Any, path: str = "", depth: int = 0) -> Any:
    """The same JSON value with text every store can keep: no NUL, no half surrogate pairs.

    Raises:
        RejectedRecord: If it holds NaN or Infinity, is nested too deeply, or is no JSON value.
    """
    if depth > _DEEPEST:
        raise RejectedRecord(_shown(path), f"nested deeper than {_DEEPEST} levels")
    match value:
        case str():
            return storable_text(value)
        case None | bool() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise RejectedRecord(_shown(path), "must be a finite number; write null for a value that is not known")
            return value
        case Mapping():
            return {
                storable_text(str(k)): storable(v, f"{path}.{k}" if path else str(k), depth + 1)
                for k, v in value.items()
            }
        case list() | tuple():
            return [storable(v, f"{path}[{place}]", depth + 1) for place, v in enumerate(value)]
    raise RejectedRecord(_shown(path), f"{type(value).__name__} has no JSON form")


def storable_text(text: str) -> str:
    """NUL, which PostgreSQL cannot keep, and half a surrogate pair, which nobody can, are replaced."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def text(raw: Mapping[str, Any], key: str, at: str = "") -> str | None:
    """A text, or None when it is missing."""
    value = raw.get(key)
    if value is None or isinstance(value, str):
        return value
    raise RejectedRecord(at + key, f"must be text, got {kind_of(value)}")


def label(raw: Mapping[str, Any], key: str, at: str = "", *, longest: int = 500) -> str | None:
    """A short text; a whole number is taken as one (`"version": 12`). Empty is missing."""
    value = raw.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise RejectedRecord(at + key, f"must be text, got {kind_of(value)}")
    if value is not None and len(value) > longest:
        raise RejectedRecord(at + key, f"must have at most {longest} characters, got {len(value)}")
    return value or None


def hex_id(raw: Mapping[str, Any], key: str, digits: int, at: str = "") -> str | None:
    """An OpenTelemetry id in lower case, or None when it is missing."""
    value = text(raw, key, at)
    if value is None:
        return None
    value = value.lower()
    if len(value) != digits or not _HEX.fullmatch(value):
        raise RejectedRecord(at + key, f"must be {digits} hexadecimal digits")
    return value


def count(raw: Mapping[str, Any], key: str, at: str = "") -> int | None:
    """A whole number >= 0 (2.0 is one), or None when it is missing."""
    value = raw.get(key)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RejectedRecord(at + key, f"must be a whole number, got {kind_of(value)}")
    if not 0 <= value <= _LARGEST:
        raise RejectedRecord(at + key, "must be >= 0" if value < 0 else "is too large for a count")
    return value


def milliseconds(raw: Mapping[str, Any], key: str, at: str = "") -> float | None:
    """A duration >= 0 in milliseconds, or None when it is missing."""
    value = number(raw, key, at)
    if value is not None and value < 0:
        raise RejectedRecord(at + key, "a duration must be >= 0 milliseconds")
    return value


def number(raw: Mapping[str, Any], key: str, at: str = "") -> float | None:
    """A finite number, or None when it is missing."""
    value = raw.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RejectedRecord(at + key, f"must be a number, got {kind_of(value)}")
    try:
        as_float = float(value)
    except OverflowError:
        as_float = math.inf
    if not math.isfinite(as_float):
        raise RejectedRecord(at + key, "must be a finite number; write null for a value that is not known")
    return as_float


def cost(raw: Mapping[str, Any], key: str, at: str = "") -> int | None:
    """US dollars as whole nano-dollars, or None when they are not known."""
    if number(raw, key, at) is None:
        return None
    try:
        nano = nano_usd(raw[key])
    except (ValueError, ArithmeticError):
        raise RejectedRecord(at + key, "an amount of money must be finite and >= 0") from None
    if nano > _LARGEST:
        raise RejectedRecord(at + key, "is too large for the cost of one call, in US dollars")
    return nano


def instant(raw: Mapping[str, Any], key: str, at: str = "") -> datetime | None:
    """A time in UTC, or None when it is missing."""
    value = text(raw, key, at)
    if value is None:
        return None
    example = "write e.g. 2026-11-24T10:00:00.123Z"
    try:
        return parse_time(value)
    except OverflowError:
        raise RejectedRecord(at + key, f"is outside the years 1 to 9999; {example}") from None
    except ValueError as error:
        what = "has no time zone" if "without a zone" in str(error) else "is not an ISO 8601 time with a zone"
        raise RejectedRecord(at + key, f"{what}; {example}") from None


def required(value: T | None, field: str) -> T:
    """The value.

    Raises:
        RejectedRecord: If it is missing.
    """
    if value is None:
        raise RejectedRecord(field, "is missing")
    return value


def mapping(raw: Mapping[str, Any], key: str, at: str = "") -> dict[str, Any]:
    """A JSON object, empty when it is missing."""
    value = raw.get(key)
    if value is None:
        return {}
    return an_object(value, at + key)


def objects(raw: Mapping[str, Any], key: str, at: str = "") -> Sequence[dict[str, Any]]:
    """A list of JSON objects, empty when it is missing."""
    value = raw.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise RejectedRecord(at + key, f"must be a list, got {kind_of(value)}")
    return [an_object(each, f"{at}{key}[{place}]") for place, each in enumerate(value)]


def an_object(value: Any, field: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        RejectedRecord: If it is something else.
    """
    if isinstance(value, dict):
        return value
    raise RejectedRecord(field, f"must be a JSON object, got {kind_of(value)}")


def kind_of(value: Any) -> str:
    """What JSON calls it: "text", "a number", …"""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
    return "a JSON object"


def _shown(path: str) -> str:
    # A key may be a user's words, as long as a novel and with control characters in it.
    return "".join(c if c.isprintable() else "?" for c in path)[:200]
