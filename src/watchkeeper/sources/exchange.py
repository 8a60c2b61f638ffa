"""What a model was asked and what it answered, as attributes our normaliser knows.

Sources keep the bodies as the application's SDK wrote them: OpenAI (chat and responses), Anthropic, Gemini, and
LangChain's messages, serialised or flat. Texts that are JSON are read as JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.observability.messages import plain
from watchkeeper.observability.readers import structure, text

_PARAMS = frozenset(
    {
        "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "max_output_tokens", "seed", "stop",
        "n", "stream", "presence_penalty", "frequency_penalty", "reasoning_effort", "response_format", "tool_choice",
        "service_tier", "parallel_tool_calls", "reasoning", "thinking", "maxOutputTokens", "topP", "topK",
    }
)  # fmt: skip
_ROLES = {
    "human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool",
    "developer": "developer", "model": "assistant",
}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class _Answer:
    parts: list[dict[str, Any]] = field(default_factory=list)
    finish: Any = None
    model: Any = None
    id: Any = None
    fingerprint: Any = None


def asked(body: Any) -> dict[str, Any]:
    """Messages, instructions, requested model and parameters of a request's body."""
    given = structure(body)
    found: dict[str, Any] = {}
    if isinstance(given, Mapping):
        found["gen_ai.request.model"] = _label(given.get("model"))
        params = {**_mapping(given.get("generationConfig")), **given}
        found |= {f"gen_ai.request.{key}": params[key] for key in sorted(_PARAMS & params.keys())}
        found["gen_ai.system_instructions"] = _instructions(given)
    found["gen_ai.input.messages"] = [_message(each) for each in _sent(given)] or None
    return {key: value for key, value in found.items() if value is not None}


def answered(body: Any) -> dict[str, Any]:
    """Answer, finish reason, served model, ids of a response's body; of several answers the first."""
    answer = _answer(structure(body))
    if answer is None:
        return {}
    found = {
        "gen_ai.output.messages": [{"role": "assistant", "parts": answer.parts}] if answer.parts else None,
        "gen_ai.response.finish_reasons": [answer.finish] if isinstance(answer.finish, str) else None,
        "gen_ai.response.model": _label(answer.model),
        "gen_ai.response.id": _label(answer.id),
        "openai.response.system_fingerprint": _label(answer.fingerprint),
    }
    return {key: value for key, value in found.items() if value is not None}


def documents(value: Any) -> list[dict[str, Any]] | None:
    """The documents a search brought, best first, with id and score where they say them; None when it names none."""
    given = structure(value)
    if isinstance(given, Mapping):
        given = next((given[key] for key in ("documents", "results", "matches", "output") if key in given), None)
    if not isinstance(given, list):
        return None
    return [_document(each) for each in given]


def words(value: Any) -> str | None:
    """What a person would read of an input or output: a text, an object's only text, the last message, else JSON."""
    given = structure(value)
    if isinstance(given, Mapping) and isinstance(sent := given.get("messages"), list) and sent:
        said = plain(_message(sent[-1]).get("content"))
        return text(value) if said is None else said
    if isinstance(given, Mapping) and len(given) == 1 and isinstance(only := next(iter(given.values())), str):
        return only
    return text(given if isinstance(given, str) else value)


def _document(raw: Any) -> dict[str, Any]:
    given = _mapping(raw)
    given = _mapping(given.get("kwargs")) or given
    metadata = _mapping(given.get("metadata"))
    both = {**metadata, **given}
    found = {
        "id": next(
            (both[key] for key in ("id", "document_id", "source") if isinstance(both.get(key), str | int)), None
        ),
        "score": next((both[key] for key in ("score", "relevance_score", "similarity") if key in both), None),
    }
    return {"id": None if found["id"] is None else str(found["id"]), "score": found["score"]}


def _sent(given: Any) -> list[Any]:
    if isinstance(given, Mapping):
        for key in ("messages", "input", "contents", "prompts", "prompt"):
            if (inside := given.get(key)) is not None and inside != []:
                return _sent(inside)
        rest = {key: value for key, value in given.items() if value and key not in _PARAMS and key != "model"}
        if "role" in given or "content" in given or "kwargs" in given:
            return [given]
        return [{"role": "user", "content": words(rest)}] if rest else []
    if isinstance(given, list):
        return _sent(given[0]) if given and isinstance(given[0], list) else given
    return [] if given is None else [{"role": "user", "content": text(given)}]


def _instructions(given: Mapping[str, Any]) -> Any:
    told = next((given[key] for key in ("system", "instructions", "systemInstruction") if given.get(key)), None)
    if isinstance(told, Mapping):
        told = [{"type": "text", "text": part["text"]} for part in told.get("parts", ()) if "text" in part]
    return told


def _message(raw: Any) -> dict[str, Any]:
    """As it went over the wire; LangChain's and Gemini's in role and content."""
    if not isinstance(raw, Mapping):
        return {"role": "user", "content": text(raw)}
    inside = _mapping(raw.get("kwargs")) or _mapping(raw.get("data"))
    if inside or (raw.get("type") in _ROLES and "role" not in raw):
        return _langchain_message(raw, inside or dict(raw))
    if raw.get("type") == "function_call_output":
        return {"role": "tool", "content": raw.get("output"), "tool_call_id": raw.get("call_id")}
    if raw.get("type") == "function_call":
        return {"role": "assistant", "content": None, "tool_calls": [_tool(raw)]}
    if "parts" in raw and "content" not in raw:
        parts = [_gemini_part(part) for part in raw["parts"] if isinstance(part, Mapping)]
        return {"role": _ROLES.get(str(raw.get("role")), raw.get("role") or "user"), "parts": parts}
    return dict(raw)


def _langchain_message(raw: Mapping[str, Any], inside: Mapping[str, Any]) -> dict[str, Any]:
    named = raw["id"][-1] if isinstance(raw.get("id"), list) and raw["id"] else ""
    word = str(named).lower().removesuffix("chunk").removesuffix("message")
    kind = word if word in _ROLES else str(inside.get("type") or raw.get("type"))
    made: dict[str, Any] = {"role": _ROLES.get(kind, inside.get("role") or "user"), "content": inside.get("content")}
    if tools := inside.get("tool_calls"):
        made["tool_calls"] = [_tool(each) for each in tools if isinstance(each, Mapping)]
    if inside.get("tool_call_id"):
        made["tool_call_id"] = inside["tool_call_id"]
    return made


def _answer(given: Any) -> _Answer | None:
    match given:
        case str():
            return _Answer(parts=_texts(given))
        case {"choices": [Mapping() as first, *_], **rest}:
            message = _mapping(first.get("message")) or {"content": first.get("text")}
            return _Answer(
                parts=_said(message), finish=first.get("finish_reason"), model=rest.get("model"), id=rest.get("id"),
                fingerprint=rest.get("system_fingerprint"),
            )  # fmt: skip
        case {"generations": [*generations], **rest}:
            return _generation(generations, _mapping(rest.get("llm_output")))
        case {"candidates": [Mapping() as first, *_], **rest}:
            parts = _mapping(first.get("content")).get("parts") or ()
            return _Answer(
                parts=[_gemini_part(part) for part in parts if isinstance(part, Mapping)],
                finish=first.get("finishReason"), model=rest.get("modelVersion"), id=rest.get("responseId"),
            )  # fmt: skip
        case {"output": [Mapping(), *_] as items, **rest}:
            return _Answer(
                parts=[part for item in items if isinstance(item, Mapping) for part in _response_item(item)],
                finish=rest.get("status"), model=rest.get("model"), id=rest.get("id"),
            )  # fmt: skip
        case {"messages": [*_, last]} | {"message": last} | {"output": last}:
            return _answer(last)
        case {"kwargs": Mapping()} | {"data": Mapping()} | {"content": _} | {"tool_calls": _}:
            return _single(given)
        case [Mapping() as first, *_]:
            return _answer(first)
        case Mapping() if given:
            return _Answer(parts=_texts(words(given)))
    return None


def _single(given: Mapping[str, Any]) -> _Answer:
    """One message: Anthropic's whole answer, or LangChain's with what its metadata tells."""
    inside = _mapping(given.get("kwargs")) or _mapping(given.get("data")) or given
    about = _mapping(inside.get("response_metadata"))
    both = {**about, **inside}
    return _Answer(
        parts=_said(inside),
        finish=next((both[key] for key in ("finish_reason", "stop_reason") if both.get(key)), None),
        model=next((both[key] for key in ("model_name", "model") if both.get(key)), None),
        id=about.get("id") or (inside.get("id") if isinstance(inside.get("id"), str) else None),
        fingerprint=about.get("system_fingerprint"),
    )


def _generation(generations: list[Any], about: Mapping[str, Any]) -> _Answer | None:
    first = generations[0] if generations else None
    first = first[0] if isinstance(first, list) and first else first
    if not isinstance(first, Mapping):
        return None
    answer = _single(first["message"]) if isinstance(first.get("message"), Mapping) else _Answer()
    answer.parts = answer.parts or _texts(first.get("text"))
    answer.finish = answer.finish or _mapping(first.get("generation_info")).get("finish_reason")
    answer.model = answer.model or about.get("model_name")
    return answer


def _said(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    parts = _texts(content)
    if isinstance(content, list):
        parts = [part for each in content if isinstance(each, Mapping) for part in _block(each)]
    if not parts and isinstance(message.get("refusal"), str):
        parts = _texts(message["refusal"])
    listed = [part["id"] for part in parts if part["type"] == "tool_call"]
    calls = [each for each in message.get("tool_calls") or () if isinstance(each, Mapping)]
    return parts + [{"type": "tool_call", **tool} for each in calls if (tool := _tool(each))["id"] not in listed]


def _block(each: Mapping[str, Any]) -> list[dict[str, Any]]:
    if each.get("type") in ("text", "output_text"):
        return _texts(each.get("text"))
    return [{"type": "tool_call", **_tool(each)}] if each.get("type") == "tool_use" else []


def _response_item(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    if item.get("type") == "function_call":
        return [{"type": "tool_call", **_tool(item)}]
    return _said(item) if "content" in item else []


def _tool(raw: Mapping[str, Any]) -> dict[str, Any]:
    function = _mapping(raw.get("function")) or raw
    given = next((function[key] for key in ("arguments", "args", "input") if key in function), None)
    return {
        "id": raw.get("call_id") or raw.get("id"),
        "name": function.get("name"),
        "arguments": structure(given),
    }


def _gemini_part(part: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(part.get("text"), str):
        return {"type": "text", "content": part["text"]}
    if call := _mapping(part.get("functionCall")):
        return {"type": "tool_call", **_tool(call)}
    return dict(part)


def _texts(value: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "content": value}] if isinstance(value, str) and value else []


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _label(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 500 else None
