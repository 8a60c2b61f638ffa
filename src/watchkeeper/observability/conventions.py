"""Which attribute of which tracing convention means what: one table, read newest name first.

Covers OpenTelemetry GenAI (four generations), OpenInference, Langfuse, Traceloop, Vercel AI SDK, Logfire and
our own `watchkeeper.*`. Facts: the conventions' own registries and captured spans of their instrumentations.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from watchkeeper.observability.readers import (
    Reader,
    clean,
    count,
    dollars,
    instant,
    label,
    mapping,
    milliseconds,
    parsed,
    reasons,
    seconds,
    structure,
    text,
    total_dollars,
)

FIELDS: dict[str, tuple[Reader, tuple[str | tuple[str, Reader], ...]]] = {
    # What the application says about the request.
    "route": (label, (
        "watchkeeper.route", "http.route", "gen_ai.workflow.name", "langfuse.trace.name", "traceloop.workflow.name",
        "traceloop.entity.path", "ai.telemetry.functionId", "gen_ai.agent.name", "agent.name")),
    "segment": (label, (
        "watchkeeper.segment", "enduser.role", "enduser.scope", "langfuse.trace.metadata.segment",
        "traceloop.association.properties.segment", "ai.telemetry.metadata.segment")),
    "session_id": (label, (
        "session.id", "gen_ai.conversation.id", "langfuse.session.id", "traceloop.association.properties.session_id",
        "ai.telemetry.metadata.sessionId")),
    "job_id": (label, (
        "watchkeeper.job.id", "langfuse.trace.metadata.job_id", "traceloop.association.properties.job_id",
        "ai.telemetry.metadata.jobId")),
    "source": (label, ("watchkeeper.source",)),
    "environment": (label, ("deployment.environment.name", "deployment.environment", "langfuse.environment")),
    "release": (label, ("service.version", "langfuse.release", "langfuse.version")),
    "prompt_id": (label, (
        "watchkeeper.prompt.id", "gen_ai.prompt.name", "prompt.id", "langfuse.observation.prompt.name",
        "traceloop.prompt.key")),
    "prompt_version": (label, (
        "watchkeeper.prompt.version", "gen_ai.prompt.version", "llm.prompt_template.version",
        "langfuse.observation.prompt.version", "traceloop.prompt.version", "traceloop.prompt.version_hash")),
    "experiment": (label, ("watchkeeper.variant.experiment",)),
    "variant": (label, ("watchkeeper.variant.name",)),
    "input": (text, (
        "watchkeeper.input", "langfuse.trace.input", "input.value", "traceloop.entity.input", "mlflow.spanInputs")),
    "response": (text, (
        "watchkeeper.response", "langfuse.trace.output", "final_result", "output.value", "traceloop.entity.output",
        "mlflow.spanOutputs")),
    # One inference.
    "provider": (label, (
        "gen_ai.provider.name", "llm.provider", "gen_ai.system", "llm.system", "ai.model.provider")),
    "model_requested": (label, ("gen_ai.request.model", "llm.request.model_name", "ai.model.id")),
    "model_served": (label, (
        "gen_ai.response.model", "llm.response.model_name", "llm.model_name", "langfuse.observation.model.name",
        "ai.response.model")),
    "system_fingerprint": (label, (
        "openai.response.system_fingerprint", "gen_ai.openai.response.system_fingerprint",
        "gen_ai.openai.system_fingerprint")),
    "response_id": (label, ("gen_ai.response.id", "ai.response.id")),
    "finish_reason": (reasons, (
        "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.finish_reason",
        "gen_ai.completion.0.finish_reason", "llm.response.finish_reason", "llm.response.stop_reason",
        "ai.response.finishReason")),
    "tokens_input": (count, (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "ai.usage.inputTokens",
        "ai.usage.promptTokens", "llm.usage.prompt_tokens")),
    "tokens_output": (count, (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "ai.usage.outputTokens", "ai.usage.completionTokens", "llm.usage.completion_tokens")),
    "tokens_cache_read": (count, (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_read_tokens", "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read", "gen_ai.usage.input_cached_tokens", "ai.usage.cachedInputTokens")),
    "tokens_cache_write": (count, (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_tokens",
        "gen_ai.usage.details.cache_write_tokens", "gen_ai.usage.details.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write", "gen_ai.usage.input_cache_creation")),
    "tokens_reasoning": (count, (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens", "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens", "ai.usage.reasoningTokens")),
    "usage": (mapping, ("langfuse.observation.usage_details",)),
    "usage_raw": (mapping, ("gen_ai.usage.raw",)),
    "cost_nano_usd": (dollars, (
        "watchkeeper.cost_usd", ("langfuse.observation.cost_details", total_dollars), "llm.cost.total",
        "gen_ai.usage.cost", "operation.cost")),
    "ttft_ms": (milliseconds, (
        ("gen_ai.response.time_to_first_chunk", seconds), "ai.response.msToFirstChunk", "ai.stream.msToFirstChunk")),
    "first_text_at": (instant, ("langfuse.observation.completion_start_time",)),
    "duration_ms": (milliseconds, (("duration", seconds),)),
    "error_type": (label, ("error.type", "exception.type")),
    "level": (label, ("langfuse.observation.level",)),
    "params": (mapping, ("llm.invocation_parameters", "langfuse.observation.model.parameters")),
    # What went in and out of it; each form is read in `messages`.
    "messages_in": (parsed, (
        "gen_ai.input.messages", ("langfuse.observation.input", structure), ("ai.prompt.messages", structure))),
    "messages_out": (parsed, ("gen_ai.output.messages",)),
    "instructions": (structure, ("gen_ai.system_instructions",)),
    "prompt_text": (text, ("gen_ai.prompt", "ai.prompt", "llm.prompts.0.prompt.text")),
    "answer": (structure, (
        "langfuse.observation.output", "ai.response.text", "ai.response.object", "gen_ai.completion",
        "llm.choices.0.completion.text")),
    "answer_tools": (structure, ("ai.response.toolCalls",)),
    # A search for context.
    "documents": (parsed, ("gen_ai.retrieval.documents",)),
    "query": (text, ("gen_ai.retrieval.query.text",)),
    # The use of a tool.
    "tool_name": (label, ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "traceloop.entity.name")),
    "tool_call_id": (label, ("gen_ai.tool.call.id", "tool.id", "ai.toolCall.id")),
    "tool_arguments": (structure, ("gen_ai.tool.call.arguments", "tool.parameters", "ai.toolCall.args")),
    "tool_result": (structure, ("gen_ai.tool.call.result", "ai.toolCall.result")),
    # What kind of span it is.
    "kind_watchkeeper": (label, ("watchkeeper.kind",)),
    "kind_langfuse": (label, ("langfuse.observation.type",)),
    "kind_openinference": (label, ("openinference.span.kind",)),
    "kind_vercel": (label, ("ai.operationId",)),
    "kind_genai": (label, ("gen_ai.operation.name",)),
    "kind_traceloop": (label, ("llm.request.type",)),
    "kind_traceloop_span": (label, ("traceloop.span.kind",)),
    "kind_logfire": (label, ("logfire.span_type",)),
    "metadata": (mapping, ("metadata",)),
}  # fmt: skip
"""Record field -> its reader and the attribute names that mean it, best first; a name may bring its own reader."""

KINDS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("kind_watchkeeper", {"request": "request", "call": "call", "retrieval": "retrieval", "tool_call": "tool_call"}),
    ("kind_langfuse", {"generation": "call", "retriever": "retrieval", "tool": "tool_call", "agent": "agent",
                       "chain": "agent", "embedding": "embedding"}),
    ("kind_openinference", {"LLM": "call", "RETRIEVER": "retrieval", "RERANKER": "retrieval", "TOOL": "tool_call",
                            "AGENT": "agent", "CHAIN": "agent", "EMBEDDING": "embedding", "GUARDRAIL": "other",
                            "EVALUATOR": "other", "PROMPT": "other"}),
    ("kind_vercel", {"ai.generateText": "agent", "ai.streamText": "agent", "ai.generateObject": "agent",
                     "ai.streamObject": "agent", "ai.generateText.doGenerate": "call", "ai.streamText.doStream": "call",
                     "ai.generateObject.doGenerate": "call", "ai.streamObject.doStream": "call",
                     "ai.toolCall": "tool_call", "ai.embed": "embedding", "ai.embedMany": "embedding",
                     "ai.embed.doEmbed": "embedding", "ai.embedMany.doEmbed": "embedding"}),
    ("kind_genai", {"chat": "call", "generate_content": "call", "text_completion": "call", "retrieval": "retrieval",
                    "execute_tool": "tool_call", "embeddings": "embedding", "invoke_agent": "agent",
                    "invoke_workflow": "agent", "create_agent": "agent", "plan": "agent"}),
    ("kind_traceloop", {"chat": "call", "completion": "call", "rerank": "retrieval", "embedding": "embedding"}),
    ("kind_traceloop_span", {"tool": "tool_call", "workflow": "agent", "task": "agent", "agent": "agent"}),
)  # fmt: skip
"""Our word for a span's kind, the first convention that says one decides; agents repeat their children's sums."""

PARAMS: tuple[str, ...] = ("gen_ai.request.", "ai.settings.")
"""Prefixes whose rest is the name of a parameter of the call."""

PARAM_NAMES: Mapping[str, str] = {
    "gen_ai.output.type": "output_type",
    "gen_ai.request.choice.count": "n",
    "openai.request.service_tier": "service_tier",
    "llm.top_k": "top_k",
    "llm.frequency_penalty": "frequency_penalty",
    "llm.presence_penalty": "presence_penalty",
    "gen_ai.is_streaming": "stream",
}

INDEXED: tuple[str, ...] = (
    "llm.input_messages.", "llm.output_messages.", "gen_ai.prompt.", "gen_ai.completion.", "retrieval.documents.",
    "reranker.output_documents.",
)  # fmt: skip
"""Prefixes of lists written as one attribute a leaf, `llm.input_messages.0.message.role`."""

NEVER: tuple[str, ...] = ("user.id", "enduser.id", "langfuse.user.id", "ai.telemetry.metadata.userId")
"""Who the user is: never stored."""

DROPPED: tuple[str, ...] = (
    "llm.token_count.", "gen_ai.usage.", "gen_ai.aggregated_usage.", "ai.usage.", "llm.usage.", "llm.cost.", "logfire.",
    "input.mime_type", "output.mime_type", "request_data", "gen_ai.tool.definitions", "llm.tools.", "async",
    "model_request_parameters", "pydantic_ai.", "langfuse.internal.", "ai.operationId", "operation.name",
    "resource.name", "telemetry.sdk.", "gen_ai.operation.name",
)  # fmt: skip
"""Prefixes of what repeats other attributes or describes the instrumentation, not the request."""

OWN = "watchkeeper.attribute."
"""Prefix of what our SDK's user said about the request under a key of their own."""

FIRST_TEXT_EVENTS = ("First Token Stream Event", "gen_ai.content.completion.chunk", "ai.stream.firstChunk")

FINISH: Mapping[str, str] = {
    word: ours
    for ours, words in {
        "stop": "stop end_turn stop_sequence eos complete completed finished",
        "length": "length max_tokens max_output_tokens model_length incomplete model_context_window_exceeded",
        "tool_calls": "tool_calls tool_call tool_use tool-calls function_call pause_turn",
        "content_filter": "content_filter content-filter safety blocked guardrail_intervened recitation blocklist "
                          "prohibited_content spii content_filtered",
        "refusal": "refusal",
        "error": "error malformed_function_call",
    }.items()
    for word in words.split()
}  # fmt: skip
"""A provider's finish reason in lower case -> ours; another is "other"."""

ERRORS: Mapping[str, str] = {
    "apitimeouterror": "timeout", "timeouterror": "timeout", "timeout": "timeout", "readtimeout": "timeout",
    "connecttimeout": "timeout", "deadlineexceeded": "timeout", "408": "timeout", "504": "timeout",
    "apiconnectionerror": "connect", "connecterror": "connect", "connectionerror": "connect",
    "ratelimiterror": "rate_limited", "resourceexhausted": "rate_limited", "429": "rate_limited",
    "throttlingexception": "rate_limited", "overloadederror": "overloaded", "serviceunavailable": "overloaded",
    "529": "overloaded", "503": "overloaded", "authenticationerror": "auth", "permissiondeniederror": "auth",
    "401": "auth", "403": "auth", "notfounderror": "not_found", "404": "not_found", "badrequesterror": "bad_request",
    "unprocessableentityerror": "bad_request", "400": "bad_request", "422": "bad_request",
    "internalservererror": "server_error", "500": "server_error", "502": "server_error",
    "contentfiltererror": "content_filtered",
}  # fmt: skip
"""An exception's class name or a status, in lower case without its module -> ours; another stays as it is."""

_INDEX: dict[str, tuple[str, int, Reader]] = {
    (each if isinstance(each, str) else each[0]): (name, rank, reader if isinstance(each, str) else each[1])
    for name, (reader, names) in FIELDS.items()
    for rank, each in enumerate(names)
}


def finish_reason(raw: str | None) -> str | None:
    """Our word for a finish reason; None when there is none."""
    return None if raw is None else FINISH.get(raw.lower().rpartition(".")[2], "other")


def error_type(raw: str) -> str:
    """Our word for an error, or its name without the module."""
    bare = raw.rpartition(".")[2] or raw
    return ERRORS.get(bare.lower(), bare)


def fields_of(
    attributes: Mapping[str, Any], counts: Counter[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What the attributes say: record fields, lists written leaf by leaf, and what no convention names.

    A value its reader refuses is counted as "attribute" and the next name's value is taken.
    """
    found: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    params: dict[str, Any] = {}
    leaves: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in attributes.items():
        hit = _INDEX.get(name)
        if hit is not None:
            field, rank, reader = hit
            if rank >= ranks.get(field, 99):
                continue
            try:
                read = reader(value)
            except (ValueError, TypeError, OverflowError, RecursionError):
                counts["attribute"] += 1
                continue
            if read is not None:
                found[field], ranks[field] = read, rank
        elif name in PARAM_NAMES:
            params[PARAM_NAMES[name]] = value
        elif name.startswith(PARAMS):
            if value is not None:
                params[name.split(".", 2)[2]] = (
                    structure(value) if isinstance(value, str) and value[:1] in "[{" else value
                )
        elif name.startswith(INDEXED):
            leaves[name] = value
        elif name not in NEVER and not name.startswith(DROPPED) and value is not None:
            others[clean(name)[:200]] = value
    if params:
        found["params"] = {**found.get("params", {}), **params}
    return found, leaves, others


def kind_of(found: Mapping[str, Any]) -> str:
    """call, retrieval, tool_call, agent, request, embedding or other."""
    for field, words in KINDS:
        said = found.get(field)
        if said is not None and (kind := words.get(said)):
            return kind
    # The first generation had no operation name: a model and tokens or messages make an inference.
    old = "kind_genai" not in found and "kind_openinference" not in found and "kind_langfuse" not in found
    if old and "model_requested" in found and ("tokens_output" in found or "messages_in" in found):
        return "call"
    return "other"
