"""Host values as span attributes: what fits is taken, what does not is dropped and named once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from watchkeeper.sdk.guard import say_once

_LARGEST_INTEGER = 2**63 - 1


def text(name: str, value: object) -> str | None:
    """A text; numbers and UUIDs are written out, None stays None, anything else is dropped."""
    if type(value) is str:
        return sound(value)
    if value is None:
        return None
    if isinstance(value, str):
        return sound(str(value))
    if isinstance(value, int | float | UUID) and not isinstance(value, bool):
        return str(value)
    dropped(name, value)
    return None


def content(name: str, value: object) -> str | None:
    """A text as it is; lists and mappings as JSON."""
    if value is None or isinstance(value, str):
        return text(name, value)
    if isinstance(value, Mapping | list | tuple):
        return as_json(value)
    return text(name, value)


def scalar(name: str, value: object) -> str | bool | int | float | None:
    """What OpenTelemetry takes as it is; lists and mappings as JSON; anything else is dropped."""
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_INTEGER else str(value)
    return content(name, value)


def count(name: str, value: object) -> int | None:
    """A whole number >= 0."""
    if value is None or (type(value) is int and 0 <= value <= _LARGEST_INTEGER):
        return value
    dropped(name, value)
    return None


def number(name: str, value: object) -> float | None:
    """A finite number."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    if type(value).__name__ == "Decimal":
        return float(value)  # type: ignore[arg-type]
    dropped(name, value)
    return None


def messages(value: object) -> str | None:
    """Chat messages of OpenAI's or Anthropic's shape (or one text) as OpenTelemetry's JSON."""
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list | tuple):
        if value is not None:
            dropped("messages", value)
        return None
    return as_json([message(m) for m in value])


def message(value: object) -> dict[str, Any]:
    """One message: {role, parts}."""
    if isinstance(value, str):
        return {"role": "user", "parts": [{"type": "text", "content": value}]}
    if type(value) is dict and len(value) == 2:  # the usual message, without looking for anything else
        who, words = value.get("role"), value.get("content")
        if type(who) is str and type(words) is str:
            return {"role": who, "parts": [{"type": "text", "content": words}]}
    given = get(value, "parts")
    role = get(value, "role")
    parts = list(given) if isinstance(given, list | tuple) else parts_of(get(value, "content"))
    for call in _sequence(get(value, "tool_calls")):
        function = get(call, "function")
        parts.append(
            {
                "type": "tool_call",
                "id": get(call, "id"),
                "name": get(function, "name"),
                "arguments": get(function, "arguments"),
            }
        )
    answered = get(value, "tool_call_id")
    if isinstance(answered, str):
        parts = [{"type": "tool_call_response", "id": answered, "response": get(value, "content")}]
    return {"role": role if isinstance(role, str) else "user", "parts": parts}


def parts_of(value: object) -> list[Any]:
    """The content of a message as parts; parts that are not text keep their shape."""
    if isinstance(value, str):
        return [{"type": "text", "content": value}]
    parts: list[Any] = []
    for part in _sequence(value):
        words = part if isinstance(part, str) else get(part, "text")
        parts.append({"type": "text", "content": words} if isinstance(words, str) else part)
    return parts


def answer(words: str, finish_reason: str | None) -> str:
    """The model's answer as OpenTelemetry's JSON; written out, as an encoder costs 2 µs more."""
    reason = "" if finish_reason is None else f', "finish_reason": {_QUOTED(finish_reason)}'
    parts = f'[{{"type": "text", "content": {_QUOTED(words)}}}]'
    return sound(f'[{{"role": "assistant", "parts": {parts}{reason}}}]')


def documents(value: object) -> str | None:
    """Retrieved documents as JSON: ids (and scores) of mappings, objects or bare ids."""
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        dropped("documents", value)
        return None
    found: list[Any] = []
    for each in value:
        if isinstance(each, Mapping):
            found.append(dict(each))
        elif isinstance(each, str | int):
            found.append({"id": str(each)})
        elif get(each, "id") is not None:
            found.append({"id": get(each, "id"), "score": get(each, "score")})
        else:
            dropped("documents[]", each)
    return as_json(found)


def get(value: object, key: str) -> Any:
    """The key of a mapping or the attribute of an object; None when there is none."""
    if isinstance(value, Mapping):
        return value.get(key)
    return None if value is None else getattr(value, key, None)


def as_json(value: object) -> str:
    """JSON text; what JSON cannot express is written with str()."""
    try:
        return sound(_JSON.encode(value))
    except (TypeError, ValueError, RecursionError):  # odd keys, circles
        return sound(json.dumps(str(value)))


def sound(value: str) -> str:
    """The text without lone surrogates, which no wire format can carry."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode()
    return value


def dropped(name: str, value: object) -> None:
    """Say once that an argument could not be used."""
    say_once(f"value {name} {type(value)}", "watchkeeper: %s cannot be a %s; dropped", name, type(value).__name__)


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _plain(value: object) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else str(value)


_QUOTED = json.encoder.encode_basestring

# json.dumps would make a new encoder for each text.
_JSON = json.JSONEncoder(ensure_ascii=False, default=_plain)
