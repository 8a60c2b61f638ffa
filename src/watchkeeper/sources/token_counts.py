"""Token counts of sources and providers as OpenTelemetry counts them: input with cached, output with reasoning tokens.

Whether a report's input already includes what was cached is a fact of who wrote it: OpenAI, Gemini and LangChain
include it, Anthropic does not (its own names give it away). `cost.usage` holds the providers' conventions; a source
passes reports on, so their shape is all there is to tell them apart.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any


def inclusive(
    *, input: Any, output: Any, cache_read: Any = None, cache_write: Any = None, reasoning: Any = None
) -> dict[str, int]:
    """Attributes of counts that are inclusive already; what is no count is left out."""
    found = {
        "gen_ai.usage.input_tokens": _count(input),
        "gen_ai.usage.output_tokens": _count(output),
        "gen_ai.usage.cache_read.input_tokens": _count(cache_read),
        "gen_ai.usage.cache_write.input_tokens": _count(cache_write),
        "gen_ai.usage.reasoning.output_tokens": _count(reasoning),
    }
    return {name: count for name, count in found.items() if count is not None}


def disjoint(
    *, input: Any, output: Any, cache_read: Any = None, cache_write: Any = None, reasoning: Any = None
) -> dict[str, int]:
    """Attributes of counts none of which includes another."""
    return inclusive(
        input=_sum(input, cache_read, cache_write),
        output=_sum(output, reasoning),
        cache_read=cache_read,
        cache_write=cache_write,
        reasoning=reasoning,
    )


def reported(usage: Any) -> dict[str, int]:
    """Attributes of a provider's own usage report; {} when it is none we know."""
    if not isinstance(usage, Mapping):
        return {}
    if "promptTokenCount" in usage:  # Gemini: thoughts are beside the candidates
        thoughts = usage.get("thoughtsTokenCount")
        return inclusive(
            input=usage["promptTokenCount"],
            output=_sum(usage.get("candidatesTokenCount"), thoughts),
            cache_read=usage.get("cachedContentTokenCount"),
            reasoning=thoughts,
        )
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:  # Anthropic
        whole = _sum(
            *(usage.get(k) for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))
        )
        return inclusive(
            input=whole,
            output=usage.get("output_tokens"),
            cache_read=usage.get("cache_read_input_tokens"),
            cache_write=usage.get("cache_creation_input_tokens"),
            reasoning=_first(usage, ("output_tokens_details",), ("reasoning_tokens", "thinking_tokens")),
        )
    of_input = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
    of_output = ("completion_tokens_details", "output_tokens_details", "output_token_details")
    return inclusive(
        input=usage.get("prompt_tokens", usage.get("input_tokens")),
        output=usage.get("completion_tokens", usage.get("output_tokens")),
        cache_read=_first(usage, of_input, ("cached_tokens", "cache_read")),
        cache_write=_first(usage, of_input, ("cache_write_tokens", "cache_creation", "cache_write")),
        reasoning=_first(usage, of_output, ("reasoning_tokens", "reasoning")),
    )


def usage_in(body: Any) -> dict[str, int]:
    """Attributes of the usage report inside a response's body, wherever its maker puts it."""
    match body:
        case {"usage": Mapping() as usage} | {"usageMetadata": Mapping() as usage}:
            return reported(usage)
        case {"usage_metadata": Mapping() as usage} | {"llm_output": {"token_usage": Mapping() as usage}}:
            return reported(usage)
    return {}


def dollars(*parts: Any) -> str | None:
    """The exact sum of amounts in US dollars; None when none is known."""
    known = []
    for part in parts:
        if isinstance(part, int | float | str) and not isinstance(part, bool):
            try:
                known.append(Decimal(str(part)))
            except InvalidOperation:
                continue
    return str(sum(known, Decimal(0))) if known else None


def _first(usage: Mapping[str, Any], inside: tuple[str, ...], names: tuple[str, ...]) -> Any:
    for place in inside:
        details = usage.get(place)
        if isinstance(details, Mapping):
            return next((details[name] for name in names if details.get(name) is not None), None)
    return None


def _sum(*counts: Any) -> int | None:
    """The first with what is known of the others; None when the first is not known."""
    known = [_count(count) for count in counts]
    return None if known[0] is None else sum(count for count in known if count is not None)


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():  # a database's 64-bit whole numbers come as text
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
