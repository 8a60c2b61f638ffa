"""What OpenAI's own answer says that its instrumentations leave out, where they keep the answer itself."""

from collections.abc import Mapping
from typing import Any


def is_response(said: Any) -> bool:
    """Whether a provider's own answer is one of OpenAI's Responses."""
    return isinstance(said, Mapping) and said.get("object") == "response"


def ended(said: Any, reasons: Any) -> str | None:
    """Why one of OpenAI's Responses ended: each item has a reason of its own, and one that asks for a tool decides."""
    if isinstance(reasons, list) and reasons:
        if "tool_calls" in reasons:
            return "tool_calls"
        return next((each for each in reversed(reasons) if isinstance(each, str) and 0 < len(each) <= 500), None)
    match said:
        case {"incomplete_details": {"reason": str(reason)}} if 0 < len(reason) <= 500:
            return reason
        case {"output": [*_, {"type": "function_call"}]}:
            return "tool_calls"
        case {"status": "completed"}:
            return "stop"
    return None


def refusal(said: Any) -> str | None:
    """The words OpenAI's chat refused with; they stand beside the content."""
    match said:
        case {"choices": [{"message": {"refusal": str(words)}}, *_]} if words:
            return words
    return None
