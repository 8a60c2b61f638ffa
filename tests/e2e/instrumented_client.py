"""An application with somebody else's instrumentation, run as a process of its own: what it imports stays global.

Usage: instrumented_client.py INSTRUMENTATION RECORDED_API LIMITED_API TOOLS_API RESPONSES_API, all else by
OpenTelemetry's own environment variables. Prints one JSON object: what it did -> the trace it did it in.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator

from opentelemetry import _logs, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

KEY = "sk-stand-in-0123456789"
QUESTION = [{"role": "user", "content": "two and two?"}]
BRIEF = [{"role": "system", "content": "Be brief."}, *QUESTION]
LONG = [{"role": "user", "content": "count"}]
TOOL = {"type": "function", "function": {"name": "lookup_order", "parameters": {"type": "object"}}}
traces: dict[str, str] = {}
tracer = trace.get_tracer("application")


@contextlib.contextmanager
def handling(name: str) -> Iterator[None]:
    """The application's own span: one request."""
    with tracer.start_as_current_span(f"POST /{name}", attributes={"http.route": f"/{name}"}) as span:
        traces[name] = f"{span.get_span_context().trace_id:032x}"
        yield


def instrument(which: str) -> None:
    if which in ("openinference", "both"):
        from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference

        OpenInference().instrument()
    if which in ("opentelemetry", "both"):
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as OpenTelemetry

        OpenTelemetry().instrument()


def use_openai(recorded: str, limited: str, tools: str, responses: str) -> None:
    import openai

    def client(base_url: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0)

    def ask(base_url: str, messages: object, **params: object) -> object:
        model = "m-1" if base_url == tools else "old-1"
        create: Callable[..., object] = client(base_url).chat.completions.create
        return create(model=model, messages=messages, **params)

    def read(stream: object) -> None:
        assert isinstance(stream, openai.Stream)
        for _ in stream:
            pass

    with_usage = {"stream": True, "stream_options": {"include_usage": True}}
    with handling("sync"):
        ask(recorded, QUESTION, temperature=0.2, max_tokens=50, seed=7)
    with handling("stream"):
        read(ask(recorded, LONG, **with_usage))
    with handling("abandoned"):
        stream = ask(recorded, LONG, stream=True)
        assert isinstance(stream, openai.Stream)
        next(iter(stream))
        next(iter(stream))
        stream.close()
    with handling("two_calls"):
        ask(recorded, QUESTION)
        ask(recorded, BRIEF)
    with handling("unknown"), contextlib.suppress(openai.NotFoundError):
        ask(recorded, [{"role": "user", "content": "nobody asked this"}])
    with contextlib.suppress(openai.RateLimitError), handling("limited"):
        ask(limited, QUESTION)
    with handling("tools"):
        ask(tools, QUESTION, tools=[TOOL])
    with handling("streamed_tools"):
        read(ask(tools, QUESTION, tools=[TOOL], **with_usage))
    with handling("refusal"):
        ask(tools, QUESTION)
    with handling("choices"):
        ask(tools, QUESTION, n=2)
    respond = client(responses).responses.create
    with handling("response"):
        respond(model="gpt-5", input="words", instructions="Be brief.", temperature=0.2)
    with handling("streamed_response"):
        read(respond(model="gpt-5", input="words", instructions="Be brief.", temperature=0.2, stream=True))
    with handling("response_tool"):
        respond(model="gpt-5", input="tool")
    with handling("response_words_and_tool"):
        respond(model="gpt-5", input="words and tool")
    with handling("response_too_long"):
        respond(model="gpt-5", input="too long")

    async def asynchronously() -> None:
        async with openai.AsyncOpenAI(base_url=recorded, api_key=KEY, max_retries=0) as waiting:
            create = waiting.chat.completions.create
            with handling("async"):
                await create(model="old-1", messages=QUESTION, temperature=0.2, max_tokens=50, seed=7)
            with handling("async_stream"):
                async for _ in await create(model="old-1", messages=LONG, **with_usage):
                    pass

    asyncio.run(asynchronously())


def by_hand() -> None:
    """What a team writes that instruments itself from the conventions' page."""
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "old-1",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.seed": 7,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "two and two?"}]}]),
    }
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "four"}], "finish_reason": "stop"}]
    answered = {
        "gen_ai.response.model": "old-1",
        "gen_ai.response.id": "chatcmpl-recorded",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "gen_ai.output.messages": json.dumps(said),
    }
    with handling("sync"):
        with tracer.start_as_current_span("chat old-1", kind=SpanKind.CLIENT, attributes=asked) as span:
            span.set_attributes(answered)


def main() -> None:
    which, *apis = sys.argv[1:]
    spans, logs = TracerProvider(), LoggerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    trace.set_tracer_provider(spans)
    _logs.set_logger_provider(logs)
    instrument(which)
    if which == "none":
        by_hand()
    else:
        use_openai(*apis)
    spans.shutdown()
    logs.shutdown()
    print(json.dumps(traces))


if __name__ == "__main__":
    main()
