"""What may be stored of spans and of feedback that come by themselves; `redact.private` does it for whole requests."""

from collections.abc import Sequence
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


def private_pieces(pieces: Sequence[Piece], policy: Policy) -> list[Piece]:
    """The pieces of spans as they may be stored.

    A route's content policy holds for every span of the trace. Where no span of the batch names the route, the
    strictest policy of the installation holds: a text that was stored cannot be taken back.
    """
    routes = {p.trace_id: p.facts["route"] for p in pieces if isinstance(p.facts.get("route"), str)}
    unknown = Hiding(policy, strictest(policy))
    known = {route: Hiding(policy, policy.routes.get(route, policy.content)) for route in set(routes.values())}
    return [_private(piece, known.get(routes.get(piece.trace_id, ""), unknown)) for piece in pieces]


def private_feedback(said: Feedback, policy: Policy) -> Feedback:
    """One feedback as it may be stored; its request's route is not known yet, so the strictest policy holds."""
    return hidden_feedback(said, Hiding(policy, strictest(policy)))


def strictest(policy: Policy) -> Content:
    """The content policy that keeps least, of all routes."""
    return min((policy.content, *policy.routes.values()), key=_STRICTEST.index)


def _private(piece: Piece, hide: Hiding) -> Piece:
    facts = {}
    for name, value in piece.facts.items():
        if name in _LABELS or isinstance(value, int | float):
            facts[name] = value
        elif (kept := _fact(name, value, hide)) is not None:
            facts[name] = kept
    return piece._replace(name=hide.label(piece.name) or "", facts=facts)


def _fact(name: str, value: Any, hide: Hiding) -> Any:
    if name in _TEXTS and isinstance(value, str):
        return hide.text(value)
    if name == "error" and isinstance(value, str):
        return hide.label(value)
    if name in _FIELDS and isinstance(value, dict):
        return hide.fields(value)
    if name in _LISTS and isinstance(value, list | tuple):
        return [hide.content(each, _LISTS[name]) for each in value]
    return hide.structure(value)
