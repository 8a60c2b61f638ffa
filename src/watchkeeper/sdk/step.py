"""What a request and everything inside it share: a span that is begun, filled and ended, never in the host's way."""

import time
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, Status, StatusCode

from watchkeeper.sdk import runtime, values
from watchkeeper.sdk.guard import failed, guarded

_CLASS = type  # the parameter of error() has that name too
_ERROR = Status(StatusCode.ERROR)


class Step:
    """A context manager, plain and async. Exceptions of the block are recorded by type and pass untouched.

    Args:
        kind: request, call, retrieval or tool_call.
        name: The span's name.
        attributes: Span attributes, none of them None; the step keeps the mapping.
        parent: The context whose span is the parent; None begins a new trace linked to what surrounds it.
    """

    _span_kind = SpanKind.INTERNAL

    def __init__(self, kind: str, name: str, attributes: dict[str, Any], parent: "Step | None") -> None:
        self._name, self._parent = name, parent
        attributes["watchkeeper.kind"] = kind
        # Every span names its route: what may be kept of its words is known before the request's own span arrives.
        if parent is not None and (route := parent._attributes.get("watchkeeper.route")) is not None:
            attributes["watchkeeper.route"] = route
        self._attributes: dict[str, Any] = attributes
        self._late: dict[str, Any] = {}
        self._span: Span | None = None
        self._token: Any = None
        self._made_at = time.time_ns()
        self._ended_at: int | None = None
        self._closed = False

    @property
    def trace_id(self) -> str:
        """32 hex digits, "" before the block is entered; give it to feedback()."""
        return "" if self._span is None else format(self._span.get_span_context().trace_id, "032x")

    @property
    def span_id(self) -> str:
        """16 hex digits, "" before the block is entered."""
        return "" if self._span is None else format(self._span.get_span_context().span_id, "016x")

    @guarded
    def error(self, type: object) -> None:
        """This went wrong, though nothing was raised: a short name such as "timeout", or an exception."""
        if isinstance(type, BaseException):
            type = type.__class__
        name = getattr(type, "__qualname__", None) if isinstance(type, _CLASS) else type
        if (said := values.text("error type", name)) is not None:
            self._late["error.type"] = said

    def __enter__(self) -> Self:
        try:
            if self._closed:  # entered once more: another span
                self._closed, self._late, self._ended_at = False, {}, None
            self._begin(None)
            self._attach()
        except Exception as problem:
            failed("beginning a span", problem)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            if kind is not None and kind is not GeneratorExit and self._ended_at is None:
                self._late["error.type"] = kind.__qualname__
            self._detach()
            self._end()
        except Exception as problem:
            failed("ending a span", problem)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, where)

    def _begin(self, start: int | None) -> None:
        sdk = runtime.current()
        if sdk is None:
            self._span = INVALID_SPAN
            return
        here = trace.get_current_span()
        around = here.get_span_context()
        links: list[Link] = []
        if self._parent is None:
            within = Context()
            if around.is_valid:
                links = [Link(around)]
        else:
            within = contexts.get_current() if here is self._parent._span else self._within(around)
        self._span = sdk.tracer.start_span(
            self._name, within, self._span_kind, self._attributes, links, start_time=start, record_exception=False
        )

    def _within(self, around: trace.SpanContext) -> Context:
        """The current context if it is inside our request; else (another thread, say) the request itself."""
        parent = self._parent._span if self._parent is not None else None
        if parent is None or around.trace_id == parent.get_span_context().trace_id:
            return contexts.get_current()
        return trace.set_span_in_context(parent, Context())

    def _attach(self) -> None:
        if self._span is not None:
            self._token = contexts.attach(self._context(self._span))

    def _context(self, span: Span) -> Context:
        return trace.set_span_in_context(span)

    def _detach(self) -> None:
        token, self._token = self._token, None
        if token is None:
            return
        try:
            getattr(contexts, "_RUNTIME_CONTEXT", contexts).detach(token)  # the public one logs a traceback
        except ValueError:
            return  # another context than the one that was entered (a generator closed elsewhere): nothing of ours

    def _end(self) -> None:
        span = self._span
        if span is None or self._closed:
            return
        self._closed = True
        self._fill(self._late)
        if self._late:
            if "error.type" in self._late:
                span.set_status(_ERROR)
            span.set_attributes(self._late)
        span.end(self._ended_at)

    def _fill(self, late: dict[str, Any]) -> None:
        """Add what is only known at the end."""

    def _emit(self) -> None:
        """The whole span at once, for a step that was told rather than entered."""
        if self._span is None:
            self._begin(self._made_at)
            self._ended_at = self._ended_at or self._made_at
            self._end()
