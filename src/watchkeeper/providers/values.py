"""Reading what a server sent: every value is of the type we say, or None."""

from typing import Any

from watchkeeper.providers.interface import CallFailure
from watchkeeper.providers.retry import Failed


def word(value: Any) -> str | None:
    """A text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def count(value: Any) -> int | None:
    """A whole number >= 0, or None; true and false are no numbers."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def joined_text(content: Any) -> str:
    """A text, or the texts of a list of parts put together; "" for anything else."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(text for part in content if isinstance(text := mapping(part).get("text"), str))
    return ""


def unreadable(message: str) -> Failed:
    """An answer that came and cannot be understood."""
    return Failed(failure=CallFailure(error_type="bad_response", message=message, status=200))
