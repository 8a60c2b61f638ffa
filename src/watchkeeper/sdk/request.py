"""One request of a user, and the steps inside it."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from watchkeeper.sdk import values
from watchkeeper.sdk.call import Call
from watchkeeper.sdk.guard import failed, guarded
from watchkeeper.sdk.step import Step

F = TypeVar("F", bound=Callable[..., Any])

_HERE = "watchkeeper.request"
_MOST_ATTRIBUTES = 64
_TEXTS = {
    "route": "watchkeeper.route",
    "segment": "watchkeeper.segment",
    "job_id": "watchkeeper.job.id",
    "session_id": "session.id",
    "prompt_id": "watchkeeper.prompt.id",
    "prompt_version": "watchkeeper.prompt.version",
    "experiment": "watchkeeper.variant.experiment",
    "variant": "watchkeeper.variant.name",
    "source": "watchkeeper.source",
}


class Request(Step):
    """`with watchkeeper.request(route=…) as request`; each is a trace of its own, linked to what surrounds it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._pending: list[Step] = []
        try:
            attributes = _attributes(given)
        except Exception as problem:
            failed("reading the arguments of request()", problem)
            attributes = {}
        super().__init__("request", f"request {attributes.get('watchkeeper.route') or ''}".rstrip(), attributes, None)

    @guarded
    def respond(self, response: object) -> None:
        """What the user was given."""
        if (text := values.content("response", response)) is not None:
            self._late["watchkeeper.response"] = text

    def call(
        self,
        model: object = None,
        *,
        provider: object = None,
        messages: object = None,
        params: object = None,
        **unknown: Any,
    ) -> Call:
        """An inference inside this request; use it as a context manager, or only call its `finish`.

        Args:
            model: The model that is asked for.
            provider: e.g. "openai".
            messages: The chat so far, OpenAI's or Anthropic's shape, or one text.
            params: temperature, max_tokens and so on.
        """
        try:
            return Call(self, model, provider, messages, params, unknown)
        except Exception as problem:
            failed("call", problem)
            return Call(self, None, None, None, None, {})

    def retrieval(self, documents: object = None, query: object = None) -> "Retrieval":
        """Documents that were found: [{"id": …, "score": …}]. As a context manager it also measures the time."""
        step = Retrieval(self)
        step.finish(documents=documents, query=query)
        self._told(step)
        return step

    def tool_call(self, name: object = None, *, arguments: object = None, result: object = None) -> "ToolCall":
        """A tool that was used. As a context manager it also measures the time: `tool.finish(result=…)`."""
        step = ToolCall(self, name, arguments)
        if result is not None:
            step.finish(result=result)
        self._told(step)
        return step

    def __call__(self, function: F) -> F:
        """As a decorator: each call of the function is a request; `watchkeeper.current_request()` is inside."""
        given = self._given
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def around_async(*args: Any, **kwargs: Any) -> Any:
                with Request(given):
                    return await function(*args, **kwargs)

            return around_async  # type: ignore[return-value]

        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def around_async_pieces(*args: Any, **kwargs: Any) -> Any:
                with Request(given):
                    async for piece in function(*args, **kwargs):
                        yield piece

            return around_async_pieces  # type: ignore[return-value]

        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def around_pieces(*args: Any, **kwargs: Any) -> Any:
                with Request(given):
                    return (yield from function(*args, **kwargs))

            return around_pieces  # type: ignore[return-value]

        @functools.wraps(function)
        def around(*args: Any, **kwargs: Any) -> Any:
            with Request(given):
                return function(*args, **kwargs)

        return around  # type: ignore[return-value]

    def _told(self, step: Step) -> None:
        if self._closed:
            try:
                step._emit()
            except Exception as problem:
                failed("a step after its request", problem)
        else:
            self._pending.append(step)

    def _context(self, span: Span) -> Context:
        return contexts.set_value(_HERE, self, trace.set_span_in_context(span))

    def _fill(self, late: dict[str, Any]) -> None:
        pending, self._pending = self._pending, []
        for step in pending:
            step._emit()


class Retrieval(Step):
    """`with request.retrieval(query=…) as found: found.finish(documents=…)`, or told at once."""

    def __init__(self, parent: Step) -> None:
        super().__init__("retrieval", "retrieval", {"gen_ai.operation.name": "retrieval"}, parent)

    @guarded
    def finish(self, documents: object = None, query: object = None) -> None:
        """What was found, and for which words."""
        if (listed := values.documents(documents)) is not None:
            self._late["gen_ai.retrieval.documents"] = listed
        if (words := values.content("query", query)) is not None:
            self._late["gen_ai.retrieval.query.text"] = words


class ToolCall(Step):
    """`with request.tool_call(name=…, arguments=…) as tool: tool.finish(result=…)`, or told at once."""

    def __init__(self, parent: Step, name: object, arguments: object) -> None:
        called: Any = guarded(values.text)("tool name", name)
        attributes = {"gen_ai.operation.name": "execute_tool"}
        if called is not None:
            attributes["gen_ai.tool.name"] = called
        if (given := guarded(_json_or_text)("arguments", arguments)) is not None:
            attributes["gen_ai.tool.call.arguments"] = given
        super().__init__("tool_call", f"execute_tool {called or ''}".rstrip(), attributes, parent)

    @guarded
    def finish(self, result: object = None) -> None:
        """What the tool gave back."""
        if (text := _json_or_text("result", result)) is not None:
            self._late["gen_ai.tool.call.result"] = text


def current_request() -> Request | None:
    """The request this code runs inside, None outside of any."""
    found = contexts.get_value(_HERE)
    return found if isinstance(found, Request) else None


def _json_or_text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return values.text(name, value)
    return values.as_json(value)


def _attributes(given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"watchkeeper.source": "production"}
    others = 0
    for name, value in given.items():
        if value is None:
            continue
        if (key := _TEXTS.get(name)) is not None:
            if (text := values.text(name, value)) is not None:
                found[key] = text
        elif name == "input":
            if (words := values.content("input", value)) is not None:
                found["watchkeeper.input"] = words
        elif others < _MOST_ATTRIBUTES:
            others += 1
            if (own := values.scalar(name, value)) is not None:
                found[values.sound(f"watchkeeper.attribute.{name}")] = own
        else:
            values.dropped("attribute number 65 or more", value)
    return found
