"""What may be stored of spans and of feedback that come by themselves; `redact.private` does it for whole requests."""

from collections.abc import Iterable, Sequence
from typing import Any

from watchkeeper.observability.pieces import Piece
from watchkeeper.observability.redact import OF_DOCUMENTS, OF_MESSAGES, Content, Hiding, Policy, hidden_feedback
from watchkeeper.observability.request import Feedback

_TEXTS = frozenset({"input", "response", "answer"})
_FIELDS = frozenset({"own", "others", "params"})
_LISTS = {"messages": OF_MESSAGES, "documents": OF_DOCUMENTS}
_LABELS = frozenset(
    {
        "route", "segment", "session_id", "job_id", "source", "environment", "release", "prompt_id", "prompt_version",
        "experiment", "variant", "provider", "model_requested", "model_served", "system_fingerprint", "response_id",
        "finish_reason", "tool_name", "tool_call_id",
    }
)  # fmt: skip
_STRICTEST: tuple[Content, ...] = ("none", "hashed", "full")

_PEOPLE = ("segment", "session_id")


def masked_pieces(pieces: Sequence[Piece], policy: Policy) -> list[Piece]:
    """The pieces with what must not be stored masked; what is kept of their texts, `content_of` and `hidden` decide."""
    hide = Hiding(policy, "full")
    return [_private(piece, hide) for piece in pieces]


def hides(policy: Policy) -> bool:
    """Whether there is a route of which less than everything is kept."""
    return strictest(policy) != "full"


def content_of(pieces: Sequence[Piece], routes: Iterable[str], policy: Policy) -> tuple[Content, bool]:
    """What is kept of the texts of one trace, and whether its route is known.

    It is known once the root is there, or the span that our SDK marked as the request. Until then the strictest
    policy of the installation holds: a text that was stored cannot be taken back.

    Args:
        pieces: All that is known of the trace.
        routes: Of the requests put together from them.
    """
    if not any(piece.kind == "request" or (piece.parent is None and piece.kind != "log") for piece in pieces):
        named = [piece.facts["route"] for piece in pieces if "route" in piece.facts and piece.facts.get("named")]
        if not named:
            return strictest(policy), False
        routes = named
    return min((policy.routes.get(route, policy.content) for route in routes), key=_STRICTEST.index), True


def hidden(piece: Piece, content: Content, policy: Policy) -> Piece:
    """A masked piece with only so much of its texts as may be kept; it says so, where there were some."""
    hide = Hiding(policy, content)
    if hide.mode == "full":
        return piece
    made = _private(piece, hide)
    if any(name in piece.facts for name in (*_TEXTS, *_LISTS)):
        made = made._replace(facts={**made.facts, "own": {**made.facts.get("own", {}), "content_kept": hide.mode}})
    return made


def private_feedback(said: Feedback, routes: Sequence[str], policy: Policy) -> Feedback:
    """One feedback as it may be stored.

    Args:
        routes: Of the requests of its trace that are stored; none known, the strictest policy holds.
    """
    contents = [policy.routes.get(route, policy.content) for route in routes] or [strictest(policy)]
    return hidden_feedback(said, Hiding(policy, min(contents, key=_STRICTEST.index)))


def strictest(policy: Policy) -> Content:
    """The content policy that keeps least, of all routes."""
    return min((policy.content, *policy.routes.values()), key=_STRICTEST.index)


def _private(piece: Piece, hide: Hiding) -> Piece:
    facts = {}
    for name, value in piece.facts.items():
        if name in _PEOPLE and isinstance(value, str):
            facts[name] = hide.person(value)
        elif name in _LABELS or isinstance(value, int | float):
            facts[name] = value
        elif (kept := _fact(name, value, hide)) is not None:
            facts[name] = kept
    return piece._replace(name=hide.label(piece.name) or "", facts=facts)


def _fact(name: str, value: Any, hide: Hiding) -> Any:
    if name in _TEXTS and isinstance(value, str):
        return hide.text(value)
    if name == "error" and isinstance(value, str):
        return hide.error(value)
    if name in _FIELDS and isinstance(value, dict):
        return hide.fields(value)
    if name in _LISTS and isinstance(value, list | tuple):
        return [hide.content(each, _LISTS[name]) for each in value]
    return hide.structure(value)
