"""Usage reports of providers as buckets that do not overlap.

Whether a figure already includes another is a fact of each API; it stands in the table, not in code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from watchkeeper.observability.request import Tokens

Bucket = Literal["input", "output", "cache_read", "cache_write", "reasoning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """How one API reports usage. A path is keys joined by dots.

    Attributes:
        paths: Bucket -> where its figures are; several are added up.
        includes: Buckets whose tokens the API counts in its input (cache_read, cache_write) or output
            (reasoning) as well.
        total: Where the API says how many tokens there were in all; None when it does not.
    """

    paths: Mapping[Bucket, tuple[str, ...]]
    includes: frozenset[Bucket]
    total: str | None = None


CONVENTIONS: Mapping[str, Convention] = {
    "openai.chat": Convention(
        paths={
            "input": ("prompt_tokens",),
            "output": ("completion_tokens",),
            "cache_read": ("prompt_tokens_details.cached_tokens",),
            "cache_write": ("prompt_tokens_details.cache_write_tokens",),
            "reasoning": ("completion_tokens_details.reasoning_tokens",),
        },
        includes=frozenset({"cache_read", "cache_write", "reasoning"}),
        total="total_tokens",
    ),
    "openai.responses": Convention(
        paths={
            "input": ("input_tokens",),
            "output": ("output_tokens",),
            "cache_read": ("input_tokens_details.cached_tokens",),
            "cache_write": ("input_tokens_details.cache_write_tokens",),
            "reasoning": ("output_tokens_details.reasoning_tokens",),
        },
        includes=frozenset({"cache_read", "cache_write", "reasoning"}),
        total="total_tokens",
    ),
    "anthropic": Convention(
        paths={
            "input": ("input_tokens",),
            "output": ("output_tokens",),
            "cache_read": ("cache_read_input_tokens",),
            "cache_write": ("cache_creation_input_tokens",),
            "reasoning": ("output_tokens_details.reasoning_tokens", "output_tokens_details.thinking_tokens"),
        },
        includes=frozenset({"reasoning"}),
    ),
    "gemini": Convention(
        paths={
            "input": ("promptTokenCount", "toolUsePromptTokenCount"),
            "output": ("candidatesTokenCount",),
            "cache_read": ("cachedContentTokenCount",),
            "reasoning": ("thoughtsTokenCount",),
        },
        includes=frozenset({"cache_read"}),
        total="totalTokenCount",
    ),
    "bedrock.converse": Convention(
        paths={
            "input": ("inputTokens",),
            "output": ("outputTokens",),
            "cache_read": ("cacheReadInputTokens",),
            "cache_write": ("cacheWriteInputTokens",),
        },
        includes=frozenset(),
        total="totalTokens",
    ),
    "mistral": Convention(
        paths={"input": ("prompt_tokens",), "output": ("completion_tokens",)},
        includes=frozenset(),
        total="total_tokens",
    ),
    "inclusive": Convention(  # OpenTelemetry, and our own records
        paths={
            "input": ("input",),
            "output": ("output",),
            "cache_read": ("cache_read",),
            "cache_write": ("cache_write",),
            "reasoning": ("reasoning",),
        },
        includes=frozenset({"cache_read", "cache_write", "reasoning"}),
    ),
}
"""API -> its convention. Facts: the APIs' own schemas and the SDKs' types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The buckets of one report.

    Attributes:
        suspect: What does not add up, e.g. "input 10 is less than its cached 20"; "" when all does.
    """

    tokens: Tokens
    suspect: str = ""


def counted(usage: Mapping[str, Any], convention: Convention) -> Counted:
    """Disjoint buckets of a usage report; a bucket the API did not report is None."""
    given: dict[str, int | None] = {}
    for bucket, paths in convention.paths.items():
        found = [_at(usage, path) for path in paths]
        known = [n for n in found if n is not None]
        if any(not _is_count(n) for n in known):
            return Counted(tokens=Tokens(), suspect=f"{bucket} is no count")
        given[bucket] = sum(known) if known else None
    whole = dict(given)
    for name, parts in (("input", ("cache_read", "cache_write")), ("output", ("reasoning",))):
        inside = sum(given.get(part) or 0 for part in parts if part in convention.includes)
        reported = given.get(name)
        if reported is None:
            continue
        if reported < inside:
            return Counted(tokens=Tokens(**(given | {name: None})), suspect=f"{name} {reported} is less than {inside}")
        whole[name] = reported - inside
    tokens = Tokens(**whole)
    total = _at(usage, convention.total) if convention.total else None
    if _is_count(total) and None not in (tokens.wire_input, tokens.wire_output):
        ours = (tokens.wire_input or 0) + (tokens.wire_output or 0)
        if ours != total:
            return Counted(tokens=tokens, suspect=f"the buckets add up to {ours}, the report says {total}")
    return Counted(tokens=tokens)


def _at(usage: Mapping[str, Any], path: str) -> Any:
    value: Any = usage
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
