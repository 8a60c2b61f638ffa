"""What every source can do: give spans page by page, and take scores. One module a source maps its own shapes.

A source gives spans as they would have come over OTLP, so that one normaliser, one assembly and one privacy policy
serve both ways in; a span that is read again changes nothing.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, Protocol

from watchkeeper.observability.otlp import Span
from watchkeeper.observability.request import Feedback

Kind = Literal["langfuse", "phoenix", "langsmith", "helicone", "weave"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Where a source is and how to reach it.

    Attributes:
        name: Of its section; what people call it.
        project: Project name or id, "entity/project" of Weave; None where the key says it.
        key: The API key; of Langfuse the secret key.
        public_key: Langfuse's other half.
        timeout_s: Seconds one answer may take.
    """

    name: str
    kind: Kind
    base_url: str
    project: str | None = None
    key: str | None = None
    public_key: str | None = None
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Half-open interval of start times, aware UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """What the source calls one of our spans.

    Attributes:
        trace_id: Ours, 32 hex digits.
        span_id: Ours, 16 hex digits.
        remote_trace_id: The source's own.
        remote_id: The source's own id of the span, the observation, the run, the call or the request.
        url: Its page there; None where it has none.
    """

    trace_id: str
    span_id: str
    remote_trace_id: str
    remote_id: str
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Feedback of a user about a trace, found at the source."""

    trace_id: str
    feedback: Feedback


@dataclass(slots=True, kw_only=True)
class Page:
    """One page of a source.

    Attributes:
        spans: In our normaliser's terms; with their parents' ids, also where the parent is on another page.
        roots: What the source calls those spans that have no parent.
        feedback: What users said; scores that we pushed ourselves are none.
        counts: What could not be taken, by name, e.g. "rejected: no start time". Never silent.
    """

    spans: Sequence[Span] = ()
    roots: Sequence[Remote] = ()
    feedback: Sequence[Said] = ()
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A scorer's word about one request, on its way back to where the request came from.

    Attributes:
        name: Of the scorer.
        value: In [0, 1].
        label: In words, if the scorer has some.
        by: Who scored: a model, code, a person.
    """

    remote: Remote
    name: str
    value: float
    label: str | None = None
    explanation: str | None = None
    by: Literal["llm", "code", "human"] = "llm"

    @property
    def id(self) -> str:
        """A UUID that is the same for the same scorer and span, so that pushing twice leaves one score."""
        return str(uuid.uuid5(_SCORES, f"{self.remote.trace_id}/{self.remote.span_id}/{self.name}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A score of one of our requests, before it is known what the source calls it.

    Attributes:
        span_id: The root span; None where the trace has one.
        value: In [0, 1].
    """

    trace_id: str
    name: str
    value: float
    span_id: str | None = None
    label: str | None = None
    explanation: str | None = None
    by: Literal["llm", "code", "human"] = "llm"


class Source(Protocol):
    """One tool that records requests.

    Both methods raise SourceFailed (it can be tried again) or Misconfigured (a person must change something).
    """

    def pages(self, window: Window) -> Iterator[Page]:
        """Everything that started in the window, in any order, each page as it comes; a page may be empty."""
        ...

    def push(self, scores: Sequence[Score]) -> None:
        """Leave scores at the source; one that is there already is replaced, never doubled."""
        ...


_SCORES = uuid.UUID("6f0f6a6e-30d1-5d1c-9e0c-5a1b6a0c7b11")


def trace_id_of(remote: Any) -> str:
    """Our trace id for a source's: 32 hex digits stay (a UUID loses its hyphens), another is hashed."""
    return _hex_id(str(remote), 32)


def span_id_of(remote: Any) -> str:
    """Our span id for a source's: 16 hex digits stay, another is hashed."""
    return _hex_id(str(remote), 16)


def _hex_id(remote: str, digits: int) -> str:
    bare = remote.replace("-", "").lower()
    if len(bare) == digits and set(bare) <= set("0123456789abcdef") and set(bare) != {"0"}:
        return bare
    return sha256(remote.encode("utf-8", "replace")).hexdigest()[:digits]
