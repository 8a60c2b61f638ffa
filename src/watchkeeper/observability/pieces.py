"""What one span says, in our words: the piece a request is put together from, and stored as.

Two forms: a `Piece` with its texts inside, and the packed list with a text's key in the text's place.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from watchkeeper.observability import conventions, messages, openai_answers, readers
from watchkeeper.observability.otlp import Span

_TEXTS = ("input", "response", "answer")
_REQUEST = frozenset(
    {
        "route", "segment", "session_id", "job_id", "source", "environment", "release", "prompt_id", "prompt_version",
        "experiment", "variant", "input", "response",
    }
)  # fmt: skip
_CALL = (
    "provider", "model_requested", "model_served", "system_fingerprint", "response_id", "finish_reason",
    "tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write", "tokens_reasoning", "cost_nano_usd",
    "ttft_ms", "params",
)  # fmt: skip


class Piece(NamedTuple):
    """One span, or what a log record adds to it, in our words.

    `facts` holds record fields by name: those of `FIELDS` that are known, with `messages`, `answer`, `tools`,
    `documents`, `error`, `own` (the application's own attributes) and `others` (what no convention names); `named`
    is there where an inner span says its route in our own attribute.
    """

    trace_id: str
    span_id: str
    parent: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    error: bool
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, bool]:
        """One piece a span and one for its log record."""
        return self.span_id, self.kind == "log"


def piece_of(span: Span, counts: Counter[str]) -> Piece:
    """The span in our words; what cannot be understood is dropped and counted, never the span."""
    found, leaves, others = conventions.fields_of(span.attributes, counts)
    kind = "log" if span.is_log else conventions.kind_of(found)
    _resource(span.resource, found, counts)
    _metadata(found, others)
    facts = {name: found[name] for name in _REQUEST if name in found}
    if kind != "request" and "watchkeeper.route" in span.attributes:
        facts["named"] = True
    start, end = span.start_ns, max(span.start_ns, span.end_ns)
    if span.end_ns < span.start_ns:
        counts["duration below zero"] += 1
    if kind in ("call", "log"):
        _call(span, found, leaves, facts, counts)
        start = _logfire_stream(found, facts, start, end)
    elif kind == "retrieval":
        _retrieval(found, leaves, facts, counts)
    elif kind == "tool_call":
        _tool_call(found, facts)
    elif kind != "request":
        _enclosing(found, facts)
    if (error := _error(span, found)) is not None:
        facts["error"] = error
    own = {name[len(conventions.OWN) :]: others.pop(name) for name in list(others) if name.startswith(conventions.OWN)}
    if own:
        facts["own"] = own
    if others:
        facts["others"] = others
    return Piece(
        span.trace_id, span.span_id, span.parent_span_id, span.name, kind, start, end, span.error or "error" in facts,
        facts,
    )  # fmt: skip


def _resource(resource: Mapping[str, Any], found: dict[str, Any], counts: Counter[str]) -> None:
    for field, names in (
        ("environment", ("deployment.environment.name", "deployment.environment")),
        ("release", ("service.version",)),
        ("service", ("service.name",)),
    ):
        value = next((resource[name] for name in names if resource.get(name)), None)
        if field not in found and isinstance(value, str) and len(value) <= 500:
            found[field] = value
        elif value is not None and not isinstance(value, str):
            counts["attribute"] += 1


def _metadata(found: dict[str, Any], others: dict[str, Any]) -> None:
    """OpenInference's `metadata` object may name what no attribute of its own does."""
    metadata = found.pop("metadata", None)
    if not metadata:
        return
    for field in ("route", "segment", "job_id", "session_id"):
        if field not in found and isinstance(metadata.get(field), str) and 0 < len(metadata[field]) <= 500:
            found[field] = metadata.pop(field)
    if metadata:
        others["metadata"] = metadata


def _call(
    span: Span, found: dict[str, Any], leaves: dict[str, Any], facts: dict[str, Any], counts: Counter[str]
) -> None:
    _usage(found)
    params = found.get("params")
    if params and "model" in params:
        params = dict(params)
        requested = params.pop("model")
        if isinstance(requested, str):
            found.setdefault("model_requested", requested)
        found["params"] = params
    said = _inside(found) if "answer" not in found else None
    in_items = openai_answers.is_response(said) or span.attributes.get("openai.api.type") == "responses"
    if (
        in_items
        and (reason := openai_answers.ended(said, span.attributes.get("gen_ai.response.finish_reasons"))) is not None
    ):
        found["finish_reason"] = reason
    if "finish_reason" not in found and (reason := messages.ended(found.get("messages_out"))) is not None:
        found["finish_reason"] = reason
    if isinstance(said, Mapping):
        for field, name in (("response_id", "id"), ("system_fingerprint", "system_fingerprint")):
            if field not in found and isinstance(said.get(name), str):
                found[field] = said[name]
    if "ttft_ms" not in found:
        at = found.get("first_text_at") or next(
            (e.at_ns for e in span.events if e.name in conventions.FIRST_TEXT_EVENTS), None
        )
        if at is not None and at >= span.start_ns:
            found["ttft_ms"] = (at - span.start_ns) / 1e6
    # Who got no answer (yet) repeats the requested model as the served one.
    served = found.get("model_served")
    silent = "tokens_output" not in found and "response_id" not in found
    if served is not None and served == found.get("model_requested") and (span.error or silent):
        del found["model_served"]
    for name in _CALL:
        if name in found:
            facts[name] = found[name]
    sent, answer, tools = _exchange(span, found, said if isinstance(said, Mapping) else {}, in_items, leaves, counts)
    if sent:
        facts["messages"] = sent
    if answer is not None:
        facts["answer"] = answer
    if tools:
        facts["tools"] = tools
    if "input.value" in span.attributes or "output.value" in span.attributes or "traceloop.entity.input" in facts:
        facts.pop("input", None)
        facts.pop("response", None)


def _exchange(
    span: Span,
    found: Mapping[str, Any],
    said: Mapping[str, Any],
    in_items: bool,
    leaves: Mapping[str, Any],
    counts: Counter[str],
) -> tuple[list[dict[str, Any]], str | None, list[dict[str, Any]]]:
    """What was sent, the words of the answer, the tools it asks for.

    Args:
        said: The provider's own answer where it is there.
        in_items: Whether several messages of the answer are the items of one, not answers to choose from.
    """
    sent = messages.of_parts(found.get("messages_in"), found.get("instructions"))
    out = messages.of_parts(found.get("messages_out"))
    if leaves:
        for prefix in ("llm.input_messages.", "gen_ai.prompt."):
            sent = sent or messages.of_leaves(leaves, prefix, counts)
        for prefix in ("llm.output_messages.", "gen_ai.completion."):
            out = out or messages.of_leaves(leaves, prefix, counts)
    if span.events and not (sent and out):
        asked, answered = messages.of_events(span.events)
        sent, out = sent or asked, out or answered
    if not sent and "prompt_text" in found:
        sent = messages.of_parts(readers.structure(found["prompt_text"]))
    if not sent and "input" in found and "input.value" in span.attributes:
        raw = readers.structure(found["input"])
        sent = messages.of_parts(raw.get("messages", found["input"]) if isinstance(raw, Mapping) else found["input"])
    if in_items and len(out) > 1:
        out = messages.joined(out)
    answer, tools = messages.answer_of(out)
    if answer is None and not tools:
        answer = openai_answers.refusal(said)
    if answer is None and not tools and "answer" in found:
        raw = found["answer"]
        answer, tools = messages.answer_of(
            messages.of_parts(raw if isinstance(raw, list) else [raw])
            if (isinstance(raw, Mapping) and "role" in raw) or isinstance(raw, list)
            else [{"role": "assistant", "content": readers.text(raw)}]
        )
    if answer is None and not tools and not out and "output.value" in span.attributes and "response" in found:
        raw = readers.structure(found["response"])
        answer = raw if isinstance(raw, str) else None
    return sent, answer, tools or _listed_tools(found.get("answer_tools"))


def _listed_tools(given: Any) -> list[dict[str, Any]]:
    """Vercel's ai.response.toolCalls."""
    return [
        {"id": each.get("toolCallId"), "name": each.get("toolName"), "arguments": each.get("input", each.get("args"))}
        for each in (given if isinstance(given, list) else ())
        if isinstance(each, Mapping)
    ]


def _inside(found: Mapping[str, Any]) -> Any:
    """The provider's own answer, where OpenInference keeps it."""
    return readers.structure(found["response"]) if "response" in found and found["response"][:1] == "{" else None


def _usage(found: dict[str, Any]) -> None:
    """Token counts from a provider's usage object: all of them (Langfuse), or what is missing (Logfire)."""
    if (given := found.get("usage")) is not None:
        for field in ("tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write", "tokens_reasoning"):
            found.pop(field, None)
    else:
        given = found.get("usage_raw")
    if given is None:
        return
    flat = {key: value for key, value in given.items() if not isinstance(value, Mapping)}
    for key, value in given.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": each for inner, each in value.items()}
    for field, names in _USAGE:
        value = next((flat[name] for name in names if isinstance(flat.get(name), int)), None)
        if field not in found and value is not None and not isinstance(value, bool) and 0 <= value <= 2**53:
            found[field] = value
    cached = found.get("tokens_cache_read", 0) + found.get("tokens_cache_write", 0)
    known, whole = found.get("tokens_input"), given.get("total", given.get("total_tokens"))
    if "usage" in found and cached and known is not None and whole == known + cached + found.get("tokens_output", 0):
        found["tokens_input"] = known + cached  # the parts are beside the input, not in it


_USAGE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("tokens_input", ("input", "prompt_tokens", "input_tokens")),
    ("tokens_output", ("output", "completion_tokens", "output_tokens")),
    ("tokens_cache_read", (
        "input_cached_tokens", "cache_read_input_tokens", "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens", "input_cache_read")),
    ("tokens_cache_write", ("input_cache_creation", "cache_creation_input_tokens", "input_cache_creation_5m")),
    ("tokens_reasoning", (
        "output_reasoning_tokens", "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens", "output_reasoning")),
)  # fmt: skip


def _logfire_stream(found: Mapping[str, Any], facts: dict[str, Any], start: int, end: int) -> int:
    """Logfire sends a stream's answer as a log of no length that says how long it took."""
    if found.get("kind_logfire") != "log":
        return start
    facts["stream_end"] = True
    return max(1, end - int(found.get("duration_ms", 0) * 1e6)) if found.get("duration_ms", 0) < 1e9 else start


def _retrieval(
    found: Mapping[str, Any], leaves: Mapping[str, Any], facts: dict[str, Any], counts: Counter[str]
) -> None:
    given = found.get("documents")
    if given is None and leaves:
        for prefix in ("retrieval.documents.", "reranker.output_documents."):
            given = given or [each.get("document", each) for each in messages.tree(leaves, prefix, counts)]
    if given is None:
        given = found.get("answer")
    documents = []
    for each in given if isinstance(given, list) else ():
        if not isinstance(each, Mapping):
            counts["document"] += 1
            continue
        score = each.get("score")
        known = isinstance(score, int | float) and not isinstance(score, bool)
        kept = {key: value for key, value in each.items() if key not in ("id", "score", "content", "metadata")}
        documents.append({"id": readers.text(each.get("id")), "score": score if known else None, **kept})
    facts["documents"] = documents
    facts.pop("input", None)
    facts.pop("response", None)


def _tool_call(found: dict[str, Any], facts: dict[str, Any]) -> None:
    for field, fallbacks in (
        ("tool_name", ()),
        ("tool_call_id", ()),
        ("tool_arguments", ("messages_in", "input")),
        ("tool_result", ("answer", "response")),
    ):
        for name in (field, *fallbacks):
            if name in found:
                facts[field] = readers.structure(found[name])
                break
    facts.pop("input", None)
    facts.pop("response", None)


def _enclosing(found: Mapping[str, Any], facts: dict[str, Any]) -> None:
    """Langfuse says a trace's input and output as those of its outermost observation."""
    if "messages_in" in found and "input" not in facts:
        facts["input"] = readers.text(found["messages_in"])
    if "answer" in found and "response" not in facts:
        facts["response"] = readers.text(found["answer"])


def _error(span: Span, found: Mapping[str, Any]) -> str | None:
    said = found.get("error_type")
    if isinstance(said, str):
        return said
    for event in span.events:
        if event.name == "exception" and (span.error or found.get("level") == "ERROR"):
            name = event.attributes.get("exception.type")
            if isinstance(name, str) and 0 < len(name) <= 500:
                return name
    return "error" if span.error or found.get("level") == "ERROR" else None


def packed(piece: Piece, keep: Callable[[str], str]) -> list[Any]:
    """The piece as a list for the store; `keep` takes a text and gives its key."""
    facts = dict(piece.facts)
    for name in _TEXTS:
        if name in facts:
            facts[name] = keep(facts[name])
    if "messages" in facts:
        facts["messages"] = [keep_message(each, keep) for each in facts["messages"]]
    if "tool_result" in facts:
        facts["tool_result"] = keep(readers.text_json(facts["tool_result"]))
    return [*piece[1:8], facts]


def keys_of(row: list[Any]) -> list[str]:
    """The keys of every text a packed piece points at."""
    facts = row[7]
    keys = [facts[name] for name in (*_TEXTS, "tool_result") if name in facts]
    return keys + [each.partition(":")[0] for each in facts.get("messages", ())]


def unpacked(trace_id: str, row: list[Any], texts: Mapping[str, str]) -> Piece:
    """The piece of a packed list, equal to the one that was packed."""
    facts = dict(row[7])
    for name in _TEXTS:
        if name in facts:
            facts[name] = texts[facts[name]]
    if "messages" in facts:
        facts["messages"] = [message_at(each, texts) for each in facts["messages"]]
    if "tool_result" in facts:
        facts["tool_result"] = readers.from_json(texts[facts["tool_result"]])
    return Piece._make([trace_id, *row[:7], facts])


def keep_message(message: Mapping[str, Any], keep: Callable[[str], str]) -> str:
    """A message as `KEY:ROLE` of its plain words, so that they are shared with answers; else `KEY` of its JSON."""
    if len(message) == 2 and list(message) == ["role", "content"]:
        role, content = message["role"], message["content"]
        if isinstance(role, str) and isinstance(content, str):
            return f"{keep(content)}:{role}"
    return keep(readers.text_json(message))


def message_at(place: str, texts: Mapping[str, str]) -> Any:
    """The message `keep_message` kept."""
    key, plain, role = place.partition(":")
    return {"role": role, "content": texts[key]} if plain else readers.from_json(texts[key])


def merged_pieces(
    before: list[list[Any]], new: Sequence[Piece], keep: Callable[[str], str]
) -> list[tuple[list[Any], Piece | None]]:
    """The packed pieces of a trace with new ones, each span once; the Piece where it is a new one.

    Of one span in two forms the one that ends later stays, then the one of the larger packed form: whichever
    came first.
    """
    found: dict[tuple[str, bool], tuple[list[Any], Piece | None]] = {
        (row[0], row[3] == "log"): (row, None) for row in before
    }
    for piece in new:
        row = packed(piece, keep)
        older = found.get(piece.key)
        if older is None or _weight(row) > _weight(older[0]):
            found[piece.key] = (row, piece)
    return [found[key] for key in sorted(found)]


def _weight(row: list[Any]) -> tuple[int, int, bytes]:
    written = orjson.dumps(row)
    return row[5], len(written), written
