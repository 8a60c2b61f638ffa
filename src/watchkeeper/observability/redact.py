"""What is taken out of a request before it is stored: pure functions over values."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Literal

from watchkeeper.observability.masking import Redactor
from watchkeeper.observability.request import Call, Feedback, Request, Retrieval, ToolCall

Content = Literal["full", "hashed", "none"]
"""What is kept of a text: itself, redacted; a keyed hash, so that equal texts are seen; nothing."""

USER_KEYS = frozenset({
    "user", "user_id", "userid", "user.id", "enduser.id", "end_user_id", "langfuse.user.id", "customer_id",
    "metadata.user_id", "ai.telemetry.metadata.userid", "traceloop.association.properties.user_id",
})  # fmt: skip
"""Keys, in lower case, of attributes, parameters and unnamed fields that hold who the user is."""

OURS = frozenset({"pulled_from", "content_kept"})
"""Attributes that we write ourselves: where a request was pulled from, and what was kept of its texts."""

_HASHED = re.compile(r"u_[0-9a-f]{32}|\[user\]")
_HASHED_TEXT = re.compile(r"h_[0-9a-f]{32}")
_NAME_OF_ERROR = re.compile(r"[A-Za-z_][\w.:-]{0,99}|\d{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an installation stores.

    Attributes:
        redactor: None masks nothing.
        content: Of routes that are not in `routes`.
        routes: Route -> what is kept of its texts.
        secret: Of this installation; None: user ids are not kept, and "hashed" is "none".
        keep: Names of attributes and fields whose values are never changed.
    """

    redactor: Redactor | None = field(default_factory=Redactor)
    content: Content = "full"
    routes: Mapping[str, Content] = field(default_factory=dict)
    secret: bytes | None = None
    keep: frozenset[str] = frozenset()


OF_MESSAGES = frozenset({"role", "type", "id", "tool_call_id", "call_id"})
OF_DOCUMENTS = frozenset({"id"})
"""Fields that are no content; arguments and results have none, an application chose their names."""


def private(request: Request, policy: Policy) -> Request:
    """The request as it may be stored. Applied twice it changes nothing more.

    Ids and labels stay as they are: trace, span, session and job ids, route, segment, source, environment,
    release, prompt, variant, provider, models, finish reasons, names of tools. A session or segment with an e-mail
    address in it is hashed.

    Args:
        policy: Its `content` for the request's route decides what becomes of inputs, answers, messages, tools'
            arguments and results, documents and comments; attributes and unnamed fields are masked with "full"
            and keep only numbers and `keep` otherwise.
    """
    hide = Hiding(policy, policy.routes.get(request.route, policy.content))
    return replace(
        request,
        segment=hide.person(request.segment),
        session_id=hide.person(request.session_id),
        input=hide.text(request.input),
        response=hide.text(request.response),
        error_type=hide.error(request.error_type),
        calls=[_call(each, hide) for each in request.calls],
        retrievals=[_retrieval(each, hide) for each in request.retrievals],
        tool_calls=[_tool_call(each, hide) for each in request.tool_calls],
        feedback=[hidden_feedback(each, hide) for each in request.feedback],
        attributes=hide.fields(request.attributes) | ({} if hide.mode == "full" else {"content_kept": hide.mode}),
    )


def _call(call: Call, hide: "Hiding") -> Call:
    return replace(
        call,
        params=hide.fields(call.params),
        messages=[hide.content(message, OF_MESSAGES) for message in call.messages],
        response=hide.text(call.response),
        error_type=hide.error(call.error_type),
        more=hide.fields(call.more),
    )


def _retrieval(each: Retrieval, hide: "Hiding") -> Retrieval:
    documents = [hide.content(document, OF_DOCUMENTS) for document in each.documents]
    return replace(each, documents=documents, more=hide.fields(each.more))


def _tool_call(each: ToolCall, hide: "Hiding") -> ToolCall:
    return replace(
        each,
        arguments=hide.structure(each.arguments),
        result=hide.structure(each.result),
        error_type=hide.error(each.error_type),
        more=hide.fields(each.more),
    )


def hidden_feedback(each: Feedback, hide: "Hiding") -> Feedback:
    """One feedback as a policy lets it be stored."""
    return replace(each, value=hide.content(each.value), comment=hide.text(each.comment), more=hide.fields(each.more))


def user_hash(user: str, secret: bytes | None) -> str:
    """Who the user is, so that only this installation can tell two users apart; "[user]" without a secret."""
    if _HASHED.fullmatch(user):
        return user
    return "[user]" if secret is None else f"u_{hmac.new(secret, user.encode(), sha256).hexdigest()[:32]}"


class Hiding:
    """A policy for one route."""

    def __init__(self, policy: Policy, content: Content) -> None:
        self.policy, self.redactor = policy, policy.redactor
        self.mode: Content = "none" if content == "hashed" and policy.secret is None else content

    def text(self, text: str | None) -> str | None:
        """A text of the user or the model."""
        if text is None or self.mode == "none":
            return None
        return self.label(text) if self.mode == "full" else self._hash(self.label(text) or "")

    def label(self, text: str | None) -> str | None:
        """A text that is no content, masked all the same."""
        return (
            text if text is None or self.redactor is None or _HASHED_TEXT.fullmatch(text) else self.redactor.text(text)
        )

    def error(self, text: str | None) -> str | None:
        """An error's type; with hidden content only if it is a name, for some put their message there."""
        if text is None or self.mode == "full" or _NAME_OF_ERROR.fullmatch(text):
            return self.label(text)
        return "error"

    def person(self, text: str | None) -> str | None:
        """A session or a segment; with an e-mail address in it hashed as a user is, so that it still tells apart."""
        if text is None or "@" not in text or self.label(text) == text:
            return text
        return user_hash(text, self.policy.secret)

    def content(self, value: Any, ids: frozenset[str] = frozenset()) -> Any:
        """A message, a document, a value: of what is hidden its shape, numbers and the fields in `ids` stay."""
        if self.mode == "full":
            return value if self.redactor is None else self.redactor.value(value, self.policy.keep | ids)
        return self._hidden(value, ids)

    def structure(self, value: Any) -> Any:
        """Arguments or a result: nothing of what is hidden stays."""
        return None if self.mode == "none" else self.content(value)

    def fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Attributes, parameters, unnamed fields: users hashed, texts masked or, with hidden content, left out."""
        return {key: self._field(key, value) for key, value in values.items()}

    def _field(self, key: str, value: Any) -> Any:
        if key in self.policy.keep or key in OURS:
            return value
        if key.lower() in USER_KEYS and isinstance(value, str | int) and not isinstance(value, bool):
            return user_hash(str(value), self.policy.secret)
        if isinstance(value, Mapping):
            return {inner: self._field(inner, each) for inner, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._field("", each) for each in value]
        if not isinstance(value, str):
            return value
        return self.label(value) if self.mode == "full" else self.text(value)

    def _hidden(self, value: Any, ids: frozenset[str]) -> Any:
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {k: v if k in ids and isinstance(v, str) else self._hidden(v, ids) for k, v in value.items()}
            case list() | tuple():
                return [self._hidden(each, ids) for each in value]
        return value

    def _hash(self, text: str) -> str:
        if _HASHED_TEXT.fullmatch(text):
            return text
        return f"h_{hmac.new(self.policy.secret or b'', text.encode(), sha256).hexdigest()[:32]}"
