"""What a provider's response says, by its shape: OpenAI chat and responses, Anthropic messages; whole or pieces.

Neither client is imported: mappings and objects with the same names are read alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.sdk.values import get


@dataclass(slots=True)
class Observed:
    """What was found; None where the response does not say."""

    response: str | None = None
    model_served: str | None = None
    id: str | None = None
    finish_reason: str | None = None
    system_fingerprint: str | None = None
    usage: dict[str, int] = field(default_factory=dict)


def observe(response: object) -> Observed:
    """The facts of one response (or one piece of a stream)."""
    event = get(response, "type")
    if event == "message_start":  # Anthropic's stream: model and input tokens come first
        return observe(get(response, "message"))
    if event in ("response.completed", "response.incomplete"):  # OpenAI's responses stream: the whole at the end
        return observe(get(response, "response"))
    choice = _first(get(response, "choices"))
    found = Observed(
        model_served=_text(get(response, "model")),
        id=_text(get(response, "id")),
        system_fingerprint=_text(get(response, "system_fingerprint")),
        usage=usage(get(response, "usage")),
    )
    if choice is not None:
        found.response = _text(get(get(choice, "message"), "content"))
        found.finish_reason = _text(get(choice, "finish_reason"))
    else:
        words = [_text(get(part, "text")) for part in _blocks(response)]
        found.response = _text(get(response, "output_text")) or "".join(w for w in words if w) or None
        stop = get(response, "stop_reason") or get(get(response, "delta"), "stop_reason")
        found.finish_reason = _text(stop) or (_text(get(response, "status")) if get(response, "output") else None)
    return found


def usage(value: object) -> dict[str, int]:
    """Token counts in OpenTelemetry's sense: input includes the cache, output includes reasoning.

    OpenAI's totals are inclusive already. Anthropic's input_tokens leave the cache out, so it is added.
    """
    found: dict[str, int | None] = {}
    if (total := _count(get(value, "prompt_tokens"))) is not None:
        found["input"], found["output"] = total, _count(get(value, "completion_tokens"))
        found["cache_read"] = _count(get(get(value, "prompt_tokens_details"), "cached_tokens"))
        found["reasoning"] = _count(get(get(value, "completion_tokens_details"), "reasoning_tokens"))
    else:
        read = _count(get(value, "cache_read_input_tokens"))
        written = _count(get(value, "cache_creation_input_tokens"))
        bare = _count(get(value, "input_tokens"))
        found["input"] = None if bare is None else bare + (read or 0) + (written or 0)
        found["output"] = _count(get(value, "output_tokens"))
        inside = _count(get(get(value, "input_tokens_details"), "cached_tokens"))
        found["cache_read"], found["cache_write"] = inside if read is None else read, written
        found["reasoning"] = _count(get(get(value, "output_tokens_details"), "reasoning_tokens"))
    return {key: number for key, number in found.items() if number is not None}


def piece_text(piece: object) -> str:
    """The text of one piece of a stream; "" when it carries none."""
    if isinstance(piece, str):
        return piece
    delta = get(_first(get(piece, "choices")), "delta") or get(piece, "delta")
    if isinstance(delta, str):  # OpenAI's responses stream
        return delta if get(piece, "type") == "response.output_text.delta" else ""
    return _text(get(delta, "content")) or _text(get(delta, "text")) or ""


def carries_something(piece: object) -> bool:
    """Whether a piece is more than a frame: text, a part of a tool call, reasoning, or something we do not know."""
    if isinstance(piece, str | bytes):
        return bool(piece)
    if piece is None:
        return False
    choices, event = get(piece, "choices"), get(piece, "type")
    if isinstance(choices, list):
        delta = get(_first(choices), "delta")
        return any(get(delta, name) for name in ("content", "tool_calls", "reasoning_content", "refusal"))
    if isinstance(event, str):
        return "delta" in event and event != "message_delta"
    return bool(piece)


def _blocks(response: object) -> list[Any]:
    """Text blocks of an Anthropic message or of OpenAI's `output` list."""
    body = get(response, "content")
    if isinstance(body, list):
        return body
    output = get(response, "output")
    if isinstance(output, list):
        return [
            part for item in output for part in (get(item, "content") or []) if isinstance(get(item, "content"), list)
        ]
    return []


def _first(value: object) -> Any:
    return value[0] if isinstance(value, list | tuple) and value else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def is_response(value: object) -> bool:
    """Whether this looks like a provider's response rather than a text."""
    return isinstance(value, Mapping) or any(hasattr(value, name) for name in ("choices", "content", "output"))
