"""Requests from the pieces of a trace that are known so far; more pieces give a fuller request, in any order.

The request is the outermost span our SDK marked, else the root, else the top-most known span. Tokens and cost
are those of inference spans only: agents repeat their children's.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from watchkeeper.observability import conventions, messages
from watchkeeper.observability.pieces import Piece
from watchkeeper.observability.request import Call, Prompt, Request, Retrieval, Tokens, ToolCall, Variant
from watchkeeper.observability.wire import derived_span_id

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEEPEST = 200
"""Levels that are looked up; a trace of ten thousand spans in one chain would take a minute otherwise."""

_LABELS = ("source", "segment", "session_id", "job_id", "environment", "release")


def requests_of(pieces: Iterable[Piece]) -> list[Request]:
    """The requests of one trace, the outermost first; [] while nothing but log records is known.

    Args:
        pieces: Each span at most once (`Piece.key`), in any order.
    """
    given = list(pieces)
    if len(given) == 1 and given[0].kind != "log":
        return [_request(given[0], given)]
    spans = _with_logs(given)
    if not spans:
        return []
    ordered = sorted(spans.values(), key=lambda p: (p.start_ns, p.span_id))
    roots = [p for p in ordered if p.kind == "request" and not _above(p, spans, "request")]
    if not roots:
        tops = [p for p in ordered if p.parent is None or p.parent not in spans]
        # A ring of parents has no top; the earliest span must do.
        roots = [min(tops or ordered, key=lambda p: (p.parent is not None, p.start_ns, p.span_id))]
    members: dict[str, list[Piece]] = {root.span_id: [] for root in roots}
    for piece in ordered:
        members[_owner(piece, spans, members, roots[0].span_id)].append(piece)
    return [_request(root, members[root.span_id]) for root in roots]


def _with_logs(given: Sequence[Piece]) -> dict[str, Piece]:
    """The spans, with what log records add to them."""
    spans = {p.span_id: p for p in given if p.kind != "log"}
    for log in given:
        if log.kind == "log" and (span := spans.get(log.span_id)) is not None:
            spans[log.span_id] = span._replace(facts={**log.facts, **span.facts})
    return spans


def _ancestors(piece: Piece, spans: Mapping[str, Piece]) -> Iterable[Piece]:
    """The spans around one, the nearest first; of a ring or an endless chain only so many."""
    seen, at = {piece.span_id}, piece
    while len(seen) <= _DEEPEST and at.parent is not None and at.parent not in seen and at.parent in spans:
        at = spans[at.parent]
        seen.add(at.span_id)
        yield at


def _above(piece: Piece, spans: Mapping[str, Piece], kind: str) -> Piece | None:
    """The nearest span of a kind that this one is inside of."""
    return next((each for each in _ancestors(piece, spans) if each.kind == kind), None)


def _owner(piece: Piece, spans: Mapping[str, Piece], members: Mapping[str, Any], first: str) -> str:
    if piece.span_id in members:
        return piece.span_id
    return next((each.span_id for each in _ancestors(piece, spans) if each.span_id in members), first)


def _request(root: Piece, members: Sequence[Piece]) -> Request:
    calls, pieces = _calls(members)
    tool_calls = _tool_calls(members, pieces)
    said = _said(root, members)
    facts = root.facts
    last = next((c for c in reversed(calls) if c.response is not None), None)
    first_text = next(
        (
            (p.start_ns - root.start_ns) / 1e6 + c.ttft_ms
            for p, c in zip(pieces, calls, strict=True)
            if c.response is not None and c.ttft_ms is not None
        ),
        None,
    )
    prompt = Prompt(id=said("prompt_id"), version=said("prompt_version"))
    variant = Variant(experiment=said("experiment"), name=said("variant"))
    attributes = dict(facts.get("own", {}))
    if root.kind != "call" and "others" in facts:
        attributes |= facts["others"]
    if (kept := next((p.facts["own"]["content_kept"] for p in members if _is_kept_less(p)), None)) is not None:
        attributes["content_kept"] = kept
    return Request(
        trace_id=root.trace_id,
        span_id=root.span_id,
        started_at=_time(root.start_ns),
        route=said("route") or root.name[:500] or "unknown",
        **{name: said(name) for name in _LABELS},
        prompt=prompt if prompt.id or prompt.version else None,
        variant=variant if variant.experiment or variant.name else None,
        input=facts["input"] if "input" in facts else _last_words(calls[0].messages) if calls else None,
        response=facts.get("response", last.response if last else None),
        error_type=conventions.error_type(facts["error"]) if "error" in facts else None,
        ttft_ms=max(0.0, round(first_text, 6)) if first_text is not None else None,
        latency_ms=_ms(root.end_ns - root.start_ns),
        calls=calls,
        retrievals=[
            Retrieval(span_id=p.span_id, documents=p.facts["documents"], more=_more(p))
            for p in members
            if p.kind == "retrieval"
        ],
        tool_calls=tool_calls,
        feedback=[],
        attributes=attributes,
    )


def _is_kept_less(piece: Piece) -> bool:
    return "content_kept" in piece.facts.get("own", ())


def _said(root: Piece, members: Sequence[Piece]) -> Any:
    """Reads a field of the request: what the root says, else the first inner span that says anything."""
    if len(members) == 1:
        return root.facts.get
    order = [root, *(p for p in members if p is not root)]

    def read(name: str) -> Any:
        if name == "route" and root.kind in ("call", "retrieval", "tool_call") and len(order) > 1:
            return root.facts.get(name)
        return next((p.facts[name] for p in order if name in p.facts), None)

    return read


def _calls(members: Sequence[Piece]) -> tuple[list[Call], list[Piece]]:
    """The inferences by start; one that two instrumentations, or a span and its log, report is one."""
    found = [p for p in members if p.kind == "call"]
    if len(found) > 1:
        found = _once(found, {p.span_id: p for p in members})
    return [_call(p) for p in found], found


def _once(found: list[Piece], spans: Mapping[str, Piece]) -> list[Piece]:
    kept: dict[str, Piece] = {}
    for piece in found:
        outer = next((each for each in _ancestors(piece, spans) if each.span_id in kept), None)
        if outer is None and piece.facts.get("stream_end"):
            outer = _stream_of(piece, kept.values())
        if outer is None:
            kept[piece.span_id] = piece
        else:
            kept[outer.span_id] = _merged(kept[outer.span_id], piece)
    return list(kept.values())


def _stream_of(end: Piece, kept: Iterable[Piece]) -> Piece | None:
    """Logfire: the newest call of the same model and parent that has begun before and has no answer yet."""
    fitting = [
        p
        for p in kept
        if "answer" not in p.facts
        and "tools" not in p.facts
        and not p.facts.get("stream_end")
        and p.parent == end.parent
        and p.start_ns <= end.end_ns
        and p.facts.get("model_requested") == end.facts.get("model_requested")
    ]
    return fitting[-1] if fitting else None


def _merged(outer: Piece, inner: Piece) -> Piece:
    """One call out of two reports: the outer one's words first, a stream's end over its beginning."""
    if inner.facts.get("stream_end"):
        facts = {**outer.facts, **inner.facts}
        return outer._replace(end_ns=max(outer.end_ns, inner.end_ns), facts=facts)
    return outer._replace(facts={**inner.facts, **outer.facts})


def _call(piece: Piece) -> Call:
    f = piece.facts
    tokens, flags, kept = tokens_of(f)
    more = _more(piece)
    more.update(kept)
    raw = f.get("finish_reason")
    reason = conventions.finish_reason(raw)
    if raw is not None and raw != reason:
        more["finish_reason_raw"] = raw
    error = None
    if "error" in f:
        error = conventions.error_type(f["error"])
        if error != f["error"]:
            more["error_type_raw"] = f["error"]
    if "response_id" in f:
        more["response_id"] = f["response_id"]
    return Call(
        span_id=piece.span_id,
        provider=f.get("provider"),
        model_requested=f.get("model_requested"),
        model_served=f.get("model_served"),
        system_fingerprint=f.get("system_fingerprint"),
        params=f.get("params", {}),
        messages=f.get("messages", []),
        response=f.get("answer"),
        finish_reason=reason,
        tokens=tokens,
        ttft_ms=f.get("ttft_ms"),
        latency_ms=_ms(piece.end_ns - piece.start_ns),
        error_type=error,
        cost_nano_usd=f.get("cost_nano_usd"),
        flags=flags,
        more=more,
    )


def tokens_of(facts: Mapping[str, Any]) -> tuple[Tokens, list[str], dict[str, Any]]:
    """Disjoint buckets; totals are inclusive unless their parts are larger, then they were disjoint already."""
    whole_in, read, write = (facts.get(f"tokens_{name}") for name in ("input", "cache_read", "cache_write"))
    whole_out, reasoning = facts.get("tokens_output"), facts.get("tokens_reasoning")
    flags: list[str] = []
    kept: dict[str, Any] = {}
    cached = (read or 0) + (write or 0)
    if whole_in is not None and cached <= whole_in:
        whole_in -= cached
    if whole_out is not None and reasoning:
        if reasoning > whole_out:
            flags, kept, whole_out = ["usage.output"], {"usage.output": whole_out}, None
        else:
            whole_out -= reasoning
    return (
        Tokens(input=whole_in, output=whole_out, cache_read=read, cache_write=write, reasoning=reasoning),
        flags,
        kept,
    )


def _tool_calls(members: Sequence[Piece], calls: Sequence[Piece]) -> list[ToolCall]:
    """Tools that ran; those only asked for in an answer too, once each."""
    ran = [p for p in members if p.kind == "tool_call"]
    found = [
        ToolCall(
            span_id=p.span_id,
            name=p.facts.get("tool_name") or p.name[:500] or None,
            arguments=p.facts.get("tool_arguments"),
            result=p.facts.get("tool_result"),
            error_type=conventions.error_type(p.facts["error"]) if "error" in p.facts else None,
            more={**_more(p), **({"call_id": p.facts["tool_call_id"]} if "tool_call_id" in p.facts else {})},
        )
        for p in ran
    ]
    known = {p.facts.get("tool_call_id") for p in ran}
    names = {p.facts.get("tool_name") for p in ran if "tool_call_id" not in p.facts}
    for call in calls:
        for place, asked in enumerate(call.facts.get("tools", ())):
            name, call_id = asked.get("name"), asked.get("id")
            if (call_id is not None and call_id in known) or name in names:
                continue
            known.add(call_id)
            found.append(
                ToolCall(
                    span_id=derived_span_id(call.trace_id, call.span_id, "tool_calls", str(place)),
                    name=name if isinstance(name, str) else None,
                    arguments=asked.get("arguments"),
                    more={"call_id": call_id} if call_id is not None else {},
                )
            )
    return found


def _more(piece: Piece) -> dict[str, Any]:
    others = piece.facts.get("others")
    return {"attributes": others} if others else {}


def _last_words(sent: Sequence[Mapping[str, Any]]) -> str | None:
    """What the user said last."""
    said = next((m for m in reversed(sent) if m.get("role") == "user"), None)
    return messages.plain(said.get("content")) if said else None


def _time(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)


def _ms(ns: int) -> float:
    return ns / 1e6
