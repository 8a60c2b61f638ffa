"""Recorded calls: read from files, looked up by model and what was asked, never made up."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.foundation.json_lines import json_lines
from watchkeeper.providers.values import count, joined_text, mapping, word

_HANG = "hang"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recorded call. `usage` and `cost_usd` are None where they were not recorded."""

    model: str
    asked: str
    response: str
    finish_reason: str | None
    latency_ms: float | None
    usage: Mapping[str, Any] | None
    cost_usd: float | None


@dataclass(slots=True)
class Recordings:
    """Recorded calls by model and question; one recorded more than once is answered in turn."""

    _by_model: dict[str, dict[str, list[Recording]]] = field(default_factory=dict)
    _served: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Every recorded model, in the order of the files."""
        return list(self._by_model)

    def add(self, recording: Recording) -> None:
        """Add one call."""
        self._by_model.setdefault(recording.model, {}).setdefault(recording.asked, []).append(recording)

    def after(self, earlier: "Recordings") -> "Recordings":
        """These, answering in turn where the earlier reading of the same files left off."""
        self._served = earlier._served
        return self

    def find(self, model: str, messages: Sequence[Mapping[str, Any]]) -> Recording | None:
        """What the model answered to these messages, or None when that was not recorded."""
        key = asked_key(messages)
        answers = self._by_model.get(model, {}).get(key)
        if not answers:
            return None
        turn = self._served.get((model, key), 0)
        self._served[model, key] = turn + 1
        return answers[turn % len(answers)]


def asked_key(messages: Sequence[Mapping[str, Any]]) -> str:
    """Equal for messages that ask the same; a lone user message is the same as its text."""
    plain = [(word(m.get("role")) or "user", joined_text(m.get("content"))) for m in messages]
    if len(plain) == 1 and plain[0][0] == "user":
        return plain[0][1]
    return json.dumps(plain, ensure_ascii=False)


def asked_of(row: Mapping[str, Any], where: str) -> str | list[dict[str, Any]]:
    """What a recorded call asked: its prompt when that is a text, even an empty one; else its messages.

    Args:
        where: FILE:LINE.

    Raises:
        Misconfigured: If it has neither.
    """
    if isinstance(prompt := row.get("prompt"), str):
        return prompt
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise Misconfigured(f"{where}: prompt: needs a prompt (a text) or messages (a list of objects)")
    return messages


def read_recordings(files: Sequence[Path]) -> Recordings:
    """Every recorded call of the files (.jsonl or .jsonl.gz).

    Raises:
        Misconfigured: With file, line and field of the first mistake.
    """
    recordings = Recordings()
    for path in files:
        for number, row in json_lines(path):
            recordings.add(_recording(row, f"{path}:{number}"))
    return recordings


def _recording(row: Any, where: str) -> Recording:
    if not isinstance(row, dict):
        raise Misconfigured(f"{where}: a recorded call is a JSON object")
    for name in ("model", "response"):
        if not isinstance(row.get(name), str):
            raise Misconfigured(f"{where}: {name}: must be a text")
    asked = asked_of(row, where)
    return Recording(
        model=row["model"],
        asked=asked if isinstance(asked, str) else asked_key(asked),
        response=row["response"],
        finish_reason=word(row.get("finish_reason")),
        latency_ms=_number(row, "latency_ms", where),
        usage=_usage(row, where),
        cost_usd=_number(row, "cost_usd", where),
    )


def _number(row: Mapping[str, Any], name: str, where: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise Misconfigured(f"{where}: {name}: must be a number >= 0")
    return float(value)


def _usage(row: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """OpenAI's shape of what was recorded, in ours or in theirs; only what is known."""
    raw = mapping(row.get("usage"))
    known = {
        "prompt_tokens": raw.get("prompt_tokens", raw.get("input")),
        "completion_tokens": raw.get("completion_tokens", raw.get("output", row.get("output_tokens"))),
    }
    usage: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
    for name, value in usage.items():
        if count(value) is None:
            raise Misconfigured(f"{where}: usage: {name} must be a whole number >= 0, got {value!r}")
    if len(usage) == 2:
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    details = {
        "prompt_tokens_details": {"cached_tokens": raw.get("cache_read"), "cache_write_tokens": raw.get("cache_write")},
        "completion_tokens_details": {"reasoning_tokens": raw.get("reasoning")},
    }
    for name, values in details.items():
        kept = mapping(raw.get(name)) or {key: value for key, value in values.items() if value is not None}
        if kept:
            usage[name] = kept
    return usage or None


class Faults:
    """Which requests fail, and how: drawn for each request in its order of arrival, by seed.

    Args:
        written: Like "429=0.02" or "hang=0.005": an HTTP status or "hang", and its probability.

    Raises:
        Misconfigured: If one cannot be read, or they add up to more than 1.
    """

    def __init__(self, written: Sequence[str], *, seed: int) -> None:
        self._shares = [_fault(text) for text in written]
        if sum(share for _, share in self._shares) > 1:
            raise Misconfigured("--fault: the probabilities add up to more than 1")
        self._random = random.Random(seed)

    def draw(self) -> str | None:
        """The next request's fault, a status or "hang", or None."""
        if not self._shares:
            return None
        drawn = self._random.random()
        for kind, share in self._shares:
            if drawn < share:
                return kind
            drawn -= share
        return None


def _fault(text: str) -> tuple[str, float]:
    kind, _, share = text.partition("=")
    try:
        probability = float(share)
    except ValueError:
        probability = -1
    known = kind == _HANG or (kind.isdecimal() and 400 <= int(kind) <= 599)
    if not known or not 0 <= probability <= 1:
        raise Misconfigured(f"--fault {text}: write STATUS=PROBABILITY or hang=PROBABILITY, e.g. 429=0.02")
    return kind, probability
