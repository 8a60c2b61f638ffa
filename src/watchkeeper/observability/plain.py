"""One request as text for a terminal: what happened, in order, for somebody who was just woken up."""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.money import show_usd
from watchkeeper.observability.request import Call, Feedback, Request, Retrieval, ToolCall, totals

_LONGEST = 2_000
_INDENT = "    "


def render_request(request: Request) -> str:
    """Header, input, calls, retrievals, tool calls, feedback, response; long texts are cut, and it is said.

    Nothing in it moves the terminal's cursor: what models and users wrote is shown, never obeyed.
    """
    return "\n".join(_lines(request))


def visible(text: str, *, keep: str = "") -> str:
    r"""Characters that a terminal would obey, or hide, as their escapes (\x1b); those in `keep` stay."""
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _lines(r: Request) -> Iterator[str]:
    sums = totals(r.calls)
    state = (
        f"failed: {visible(r.error_type)}" if r.error_type else "answered" if r.response is not None else "no answer"
    )
    if "content_kept" in r.attributes:
        state += f", words not kept (content {visible(str(r.attributes['content_kept']))})"
    yield f"{format_time(r.started_at)}  {visible(r.route)}  {state}, {_ms(r.latency_ms)}, {_cost(r)}"
    yield f"trace {r.trace_id}  span {r.span_id}"
    yield from _labels(r)
    if r.retrievals and any(not each.documents for each in r.retrievals):
        yield "a retrieval found no document"
    yield from _section("input", [r.input])
    if r.calls:
        yield f"calls ({len(r.calls)}{f', {sums.unpriced} unpriced' if sums.unpriced else ''})"
    for place, call in enumerate(r.calls, 1):
        yield from _call(place, call)
    if r.retrievals:
        yield f"retrievals ({len(r.retrievals)})"
    for retrieval in r.retrievals:
        yield _INDENT + _documents(retrieval)
    if r.tool_calls:
        yield f"tool calls ({len(r.tool_calls)})"
    for tool_call in r.tool_calls:
        yield from _tool_call(tool_call)
    if r.feedback:
        yield f"feedback ({len(r.feedback)})"
    for feedback in r.feedback:
        yield _INDENT + _feedback(feedback)
    if r.attributes:
        yield f"attributes {_short(dict(r.attributes))}"
    yield from _section("response", [r.response])


def _labels(r: Request) -> Iterator[str]:
    prompt = f"{r.prompt.id or '?'} version {r.prompt.version or '?'}" if r.prompt else None
    variant = f"{r.variant.experiment or '?'}/{r.variant.name or '?'}" if r.variant else None
    labels = {
        "source": r.source,
        "environment": r.environment,
        "release": r.release,
        "segment": r.segment,
        "session": r.session_id,
        "job": r.job_id,
        "prompt": prompt,
        "variant": variant,
    }
    shown = [f"{name} {visible(value)}" for name, value in labels.items() if value]
    if shown:
        yield " · ".join(shown)


def _call(place: int, call: Call) -> Iterator[str]:
    asked, served = call.model_requested or "?", call.model_served
    model = asked if served in (None, asked) else f"{asked} -> {served}"
    tokens = call.tokens
    facts = [
        visible(f"{call.provider or '?'}/{model}"),
        _ms(call.latency_ms) + (f", first text after {_ms(call.ttft_ms)}" if call.ttft_ms is not None else ""),
        f"{_count(tokens.wire_input)} tokens in ({_count(tokens.cache_read)} cached), {_count(tokens.wire_output)} out",
        show_usd(call.cost_nano_usd),
    ]
    if call.error_type or call.finish_reason:
        facts.append(visible(f"failed: {call.error_type}" if call.error_type else f"finished: {call.finish_reason}"))
    yield f"  {place}. " + " · ".join(facts)
    if call.flags:
        yield f"{_INDENT}! figures that do not add up: {visible(', '.join(call.flags))}"
    if call.params:
        yield f"{_INDENT}params {_short(dict(call.params))}"
    for message in call.messages:
        content = message.get("content")
        words = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        yield from _section(f"{_INDENT}{visible(str(message.get('role', '?')))}", [words], inner=2 * _INDENT)
    yield from _section(f"{_INDENT}answer", [call.response], inner=2 * _INDENT)


def _documents(retrieval: Retrieval) -> str:
    if not retrieval.documents:
        return "nothing found"
    return ", ".join(
        visible(str(d.get("id") or "?")) + (f" ({d['score']:.3g})" if d.get("score") is not None else "")
        for d in retrieval.documents
    )


def _tool_call(each: ToolCall) -> Iterator[str]:
    failed = f"  failed: {visible(each.error_type)}" if each.error_type else ""
    yield f"{_INDENT}{visible(each.name or '?')}({_short(each.arguments)}){failed}"
    if each.result is not None:
        yield f"{_INDENT}-> {_short(each.result)}"


def _feedback(each: Feedback) -> str:
    at = f"{format_time(each.at)}  " if each.at else ""
    comment = f"  {visible(each.comment)}" if each.comment else ""
    return f"{at}{visible(each.kind)} {_short(each.value)}{comment}"


def _section(title: str, texts: Sequence[str | None], *, inner: str = _INDENT) -> Iterator[str]:
    for text in texts:
        if text is None:
            continue
        yield title
        cut = text[:_LONGEST]
        for line in cut.replace("\r\n", "\n").split("\n"):
            yield inner + visible(line, keep="\t")
        if len(text) > _LONGEST:
            yield f"{inner}… {len(text) - _LONGEST:,} characters more; all of it: --json"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = visible(text[:_LONGEST])
    return shown if len(text) <= _LONGEST else f"{shown}… {len(text) - _LONGEST:,} characters more; all of it: --json"


def _cost(r: Request) -> str:
    sums = totals(r.calls)
    return show_usd(sums.cost_nano_usd) if r.calls else "no calls"


def _ms(value: float | None) -> str:
    if value is None:
        return "duration not known"
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _escape(c: str) -> str:
    # Other spaces (no-break, thin) are common in good text; on a terminal they are spaces.
    return " " if unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode()
