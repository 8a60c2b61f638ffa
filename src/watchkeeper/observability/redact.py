"""What is taken out of a request before it is stored: pure functions over values.

Built-in patterns take time linear in the text, whatever it says: each starts only where its own characters
begin, and what it may repeat is possessive or bounded.
"""

import hmac
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Literal

from watchkeeper.observability.request import Call, Feedback, Request, Retrieval, ToolCall

Content = Literal["full", "hashed", "none"]
"""What is kept of a text: itself, redacted; a keyed hash, so that equal texts are seen; nothing."""

USER_KEYS = frozenset({
    "user", "user_id", "userid", "user.id", "enduser.id", "end_user_id", "langfuse.user.id", "customer_id",
    "metadata.user_id", "ai.telemetry.metadata.userid", "traceloop.association.properties.user_id",
})  # fmt: skip
"""Keys, in lower case, of attributes, parameters and unnamed fields that hold who the user is."""

_HASHED = re.compile(r"u_[0-9a-f]{32}|\[user\]")
# A pattern that begins with a character, and looks behind it then, is searched for several times as fast.
_CARDS = re.compile(r"[2-6](?<![\d.,][2-6])(?<!\d[ -][2-6])\d{3}(?:[ -]?\d){9,15}(?!\d)")
_PHONES = re.compile(
    r"[+(0-9](?<![\w+.][+(0-9])(?:"
    r"(?:(?<=\+)|(?<=0)0)[1-9](?:[ ().\-/]{0,3}\d){7,14}"
    r"|(?:(?<=\()|(?:(?<=1)|(?<=\+)1)[ .-]\()[2-9]\d\d\) ?[2-9]\d\d[ .-]?\d{4}"
    r"|(?:(?<=[2-9])|(?<=1)[.-][2-9])\d\d([.-])[2-9]\d\d\1\d{4}"
    r"|(?:(?<=0)|(?<=\()0)[1-9]\d{1,4}\)?(?:[ ]?[/-][ ]?|[ ])\d{2,4}(?:[ -]?\d{2,4}){1,3}"
    r")(?![\w])(?![.-]\d)"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A marker and where it is put. `hint`: one of these stands in every text that can match; () is any text."""

    marker: str
    pattern: re.Pattern[str]
    hint: tuple[str, ...] = ()
    confirmed: Callable[[str], bool] | None = None


def _luhn(text: str) -> bool:
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _phone(text: str) -> bool:
    return 9 <= sum(c.isdigit() for c in text) <= 15


_KEY = "[key]"
BUILTIN: tuple[_Rule, ...] = (
    _Rule(
        _KEY,
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----END))*+(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
        ),
        ("PRIVATE KEY-----",),
    ),
    _Rule(_KEY, re.compile(r"(?<![\w.-])eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?"), ("eyJ",)),
    _Rule(_KEY, re.compile(r"[spr]k[-_](?<![\w-][spr]k[-_])[\w-]{16,}+"), ("sk-", "sk_", "pk-", "pk_", "rk-", "rk_")),
    _Rule(_KEY, re.compile(r"(?<![\w-])xox[a-z]-[\w-]{10,}+|(?<![\w-])xapp-[\w-]{10,}+"), ("xox", "xapp-")),
    _Rule(_KEY, re.compile(r"(?<![\w-])A[KS]IA[0-9A-Z]{16}(?![0-9A-Za-z])"), ("AKIA", "ASIA")),
    _Rule(
        _KEY,
        re.compile(r"(?<![\w-])(?:gh[pousr]_|github_pat_|glpat-|hf_|npm_|pypi-)[\w-]{16,}+"),
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "hf_", "npm_", "pypi-"),
    ),
    _Rule(_KEY, re.compile(r"(?<![\w-])AIza[\w-]{35}(?![\w-])"), ("AIza",)),
    _Rule(
        _KEY,
        re.compile(r"(?<=[Bb]earer )[\w.~+/=-]{16,}+|(?<=BEARER )[\w.~+/=-]{16,}+"),
        ("earer ", "EARER "),
    ),
    _Rule(
        "[email]",
        re.compile(r"(?<![\w.%+-])[\w.%+-]++@(?:[\w-]{1,63}\.){1,10}[^\W\d_][\w-]{1,62}"),
        ("@",),
    ),
    _Rule("[card]", _CARDS, (), _luhn),
    _Rule("[phone]", _PHONES, (), _phone),
)
_DIGITS = re.compile(r"[0-9][0-9 ().\-/]{6}")
"""Cards and phones hold this; most texts do not."""
_SHORTEST_CARD = 10**12
"""A number as a number: below this it is none of a card."""


class Redactor:
    """Masks what must not be stored; masking a masked text changes nothing.

    Args:
        patterns: Your own, NAME -> regular expression; what it matches becomes "[NAME]". They come first.
        builtin: Also e-mail addresses, phone and card numbers, API keys.

    Raises:
        ValueError: If a pattern is no regular expression.
    """

    def __init__(self, patterns: Mapping[str, str] | None = None, *, builtin: bool = True) -> None:
        own = []
        for name, pattern in (patterns or {}).items():
            try:
                own.append(_Rule(f"[{name}]", re.compile(pattern)))
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{name}: not a regular expression: {error}") from None
        self._own, self._builtin = own, BUILTIN if builtin else ()

    def text(self, text: str) -> str:
        """The text with markers in the place of what was masked."""
        for rule in self._own:
            text = rule.pattern.sub(rule.marker, text)
        digits: bool | None = None
        for rule in self._builtin:
            if rule.hint:
                if any(hint in text for hint in rule.hint):
                    text = rule.pattern.sub(rule.marker, text)
                continue
            digits = _has_digits(text) if digits is None else digits
            if digits:
                text = rule.pattern.sub(_masked(rule), text)
        return text

    def value(self, value: Any, keep: frozenset[str] = frozenset()) -> Any:
        """A JSON value with every text in it masked, names of fields too; fields named in `keep` stay as they are."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(k): v if k in keep else self.value(v, keep) for k, v in value.items()}
            case list() | tuple():
                return [self.value(each, keep) for each in value]
            case int() if value >= _SHORTEST_CARD:
                masked = self.text(digits := str(value))
                return value if masked == digits else masked
        return value


def _has_digits(text: str) -> bool:
    # Ten searches by the C library are thirty times as fast as one regular expression that finds nothing.
    return any(digit in text for digit in "0123456789") and _DIGITS.search(text) is not None


def _masked(rule: _Rule) -> Callable[[re.Match[str]], str]:
    def mask(found: re.Match[str]) -> str:
        return rule.marker if rule.confirmed is None or rule.confirmed(found[0]) else found[0]

    return mask


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
    release, prompt, variant, provider, models, finish reasons, names of tools.

    Args:
        policy: Its `content` for the request's route decides what becomes of inputs, answers, messages, tools'
            arguments and results, documents and comments; attributes and unnamed fields are masked with "full"
            and keep only numbers and `keep` otherwise.
    """
    hide = Hiding(policy, policy.routes.get(request.route, policy.content))
    return replace(
        request,
        input=hide.text(request.input),
        response=hide.text(request.response),
        error_type=hide.label(request.error_type),
        calls=[_call(each, hide) for each in request.calls],
        retrievals=[_retrieval(each, hide) for each in request.retrievals],
        tool_calls=[_tool_call(each, hide) for each in request.tool_calls],
        feedback=[hidden_feedback(each, hide) for each in request.feedback],
        attributes=hide.fields(request.attributes),
    )


def _call(call: Call, hide: "Hiding") -> Call:
    return replace(
        call,
        params=hide.fields(call.params),
        messages=[hide.content(message, OF_MESSAGES) for message in call.messages],
        response=hide.text(call.response),
        error_type=hide.label(call.error_type),
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
        error_type=hide.label(each.error_type),
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
        return self.label(text) if self.mode == "full" else self._hash(text)

    def label(self, text: str | None) -> str | None:
        """A text that is no content, masked all the same."""
        return text if text is None or self.redactor is None else self.redactor.text(text)

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
        if key in self.policy.keep:
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
        if text.startswith("h_") and len(text) == 34:
            return text
        return f"h_{hmac.new(self.policy.secret or b'', text.encode(), sha256).hexdigest()[:32]}"


_HOSTILE = ("a", "1", " ", "-", ".", "@", "a.", "a ", "1 ", "a@", "\n", '"', "aA1_", "é")
_TRIAL = (
    "import json,re,signal,sys\n"
    "asked=json.loads(sys.stdin.read())\n"
    "if hasattr(signal,'setitimer'): signal.setitimer(signal.ITIMER_PROF,asked['seconds'])\n"
    "for name,pattern in asked['patterns'].items():\n"
    "    print(name,flush=True)\n"
    "    found=re.compile(pattern)\n"
    "    own=''.join(c for c in pattern if c.isalnum())[:40]\n"
    f"    for seed in (*{_HOSTILE!r},own or 'a',*dict.fromkeys(own)):\n"
    "        for size in (30,1000,20000):\n"
    "            text=(seed*size)[:size]\n"
    "            found.sub('',text+'!'),found.sub('','!'+text+'\\x00')\n"
)
_WAIT = 15.0
"""Times longer than its processor time a trial may take: the machine may be busy."""


def slow_pattern(patterns: Mapping[str, str], *, seconds: float = 2.0) -> str | None:
    """The first pattern that takes too long over long or hostile texts; None when all are fast enough.

    They are tried in a process of their own, for a regular expression under way cannot be stopped.

    Args:
        seconds: Of processor time, for all of them together.
    """
    if not patterns:
        return None
    command = [sys.executable, "-I", "-c", _TRIAL]
    asked = json.dumps({"patterns": dict(patterns), "seconds": seconds})
    try:
        done = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=seconds * _WAIT)
    except subprocess.TimeoutExpired as late:
        tried, ended = late.stdout or b"", False
    else:
        tried, ended = done.stdout, done.returncode == 0
    if ended:
        return None
    return (tried.decode().split() or list(patterns))[-1]
