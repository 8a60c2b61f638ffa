"""Messages in the forms tracing conventions send them, as role and content."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from watchkeeper.observability.readers import structure

_EVENT = re.compile(r"gen_ai\.(system|user|assistant|tool)\.message")


def of_parts(given: Any, instructions: Any = None) -> list[dict[str, Any]]:
    """OpenTelemetry's {role, parts} and the plain {role, content}; the instructions go first."""
    found = []
    if instructions is not None:
        told = instructions if isinstance(instructions, list) else [instructions]
        found.append({"role": "system", **_content(told)})
    if isinstance(given, Mapping):
        given = given["messages"] if isinstance(given.get("messages"), list) else [given]
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    for each in given if isinstance(given, list) else ():
        if isinstance(each, str):
            found.append({"role": "user", "content": each})
        elif isinstance(each, Mapping):
            found.append(_message(each))
    return found


def of_leaves(leaves: Mapping[str, Any], prefix: str, counts: Any) -> list[dict[str, Any]]:
    """OpenInference's and Traceloop's lists with one attribute a leaf."""
    found = []
    for each in tree(leaves, prefix, counts):
        raw = each.get("message", each)
        if isinstance(raw, Mapping):
            found.append(_leaf_message(raw))
    return found


def of_events(events: Sequence[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first generation's span events: what was sent, what was answered."""
    sent, answered = [], []
    for event in events:
        if match := _EVENT.fullmatch(event.name):
            role = match[1]
            content = event.attributes.get("content") or event.attributes.get("gen_ai.prompt")
            sent.append({"role": role, **_content(structure(content))})
        elif event.name in ("gen_ai.choice", "gen_ai.content.completion"):
            raw = structure(event.attributes.get("message") or event.attributes.get("gen_ai.completion"))
            answered += of_parts(raw if isinstance(raw, list | Mapping) else [{"role": "assistant", "content": raw}])
        elif event.name == "gen_ai.content.prompt":
            sent += of_parts(structure(event.attributes.get("gen_ai.prompt")))
    return sent, answered


def answer_of(messages: Sequence[Mapping[str, Any]]) -> tuple[str | None, list[dict[str, Any]]]:
    """The text of the first answer, None when it has none, and the tools it asks for, each once."""
    if not messages:
        return None, []
    tools: dict[str, dict[str, Any]] = {}
    for each in messages[0].get("tool_calls") or ():
        tools.setdefault(str(each.get("id") or len(tools)), dict(each))
    return plain(messages[0].get("content")), list(tools.values())


def ended(messages_out: Any) -> str | None:
    """Why an answer ended, where its message says so itself, as the conventions' messages do."""
    last = messages_out[-1] if isinstance(messages_out, list) and messages_out else None
    reason = last.get("finish_reason") if isinstance(last, Mapping) else None
    return reason if isinstance(reason, str) and 0 < len(reason) <= 500 else None


def joined(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """OpenAI's Responses: an answer's items (reasoning, words, each use of a tool) come as messages of their own."""
    words = [said for each in items if (said := plain(each.get("content")))]
    tools = [tool for each in items for tool in each.get("tool_calls") or ()]
    return [{"role": "assistant", "content": "".join(words) or None, "tool_calls": tools}]


def plain(content: Any) -> str | None:
    """The words of a content: a text, or the text parts of a list; None when there are none."""
    if isinstance(content, str):
        return content or None
    if isinstance(content, list):
        words = [p.get("text", p.get("content")) for p in content if isinstance(p, Mapping) and p.get("type") == "text"]
        return "".join(w for w in words if isinstance(w, str)) or None
    return None


def tree(leaves: Mapping[str, Any], prefix: str, counts: Any) -> list[dict[str, Any]]:
    """`prefix0.a.b = v` as [{"a": {"b": v}}], in the order of the numbers."""
    rows: dict[int, dict[str, Any]] = {}
    for name, value in leaves.items():
        if not name.startswith(prefix):
            continue
        number, _, rest = name[len(prefix) :].partition(".")
        if not number.isascii() or not number.isdigit() or len(number) > 6 or not rest or rest.count(".") > 12:
            counts["attribute"] += 1
            continue
        at = rows.setdefault(int(number), {})
        *path, last = rest.split(".")
        for step in path:
            inner = at.get(step)
            if not isinstance(inner, dict):
                inner = at[step] = {}
            at = inner
        at.setdefault(last, value)
    return [rows[number] for number in sorted(rows)]


def listed(value: Any) -> list[Any]:
    """{"0": a, "1": b} as [a, b]; "" for anything else is []."""
    if not isinstance(value, Mapping):
        return []
    return [value[key] for key in sorted(value, key=lambda k: (len(k), k))]


def _message(raw: Mapping[str, Any]) -> dict[str, Any]:
    role = raw.get("role") if isinstance(raw.get("role"), str) else "user"
    if not isinstance(raw.get("parts"), list):
        kept = {key: value for key, value in raw.items() if value is not None and key not in ("role", "content")}
        return {"role": role, "content": raw.get("content"), **kept}
    made = {"role": role, **_content(raw["parts"])}
    if isinstance(raw.get("name"), str):
        made["name"] = raw["name"]
    return made


def _content(parts: Any) -> dict[str, Any]:
    """Text as text; calls of tools beside it; everything else as the list it is."""
    if not isinstance(parts, list):
        return {"content": parts}
    texts: list[str] = []
    tools, answers, others = [], [], []
    for part in parts:
        match part:
            case str():
                texts.append(part)
            case {"type": "text", "content": str(words)} | {"type": "text", "text": str(words)}:
                texts.append(words)
            case {"type": "tool_call", **rest}:
                tools.append({"id": rest.get("id"), "name": rest.get("name"), "arguments": rest.get("arguments")})
            case {"type": "tool_call_response", **rest}:
                answers.append(rest)
            case _:
                others.append(part)
    if others or len(answers) > 1 or (answers and texts):
        return {"content": parts}
    if answers:
        result = answers[0].get("result", answers[0].get("response"))
        return {"content": result, "tool_call_id": answers[0].get("id")}
    made: dict[str, Any] = {"content": "".join(texts) if texts or not tools else None}
    return made | {"tool_calls": tools} if tools else made


def _leaf_message(raw: Mapping[str, Any]) -> dict[str, Any]:
    content = raw.get("content")
    tools = [_leaf_tool(each) for each in listed(raw.get("tool_calls"))]
    parts = []
    for each in listed(raw.get("contents")):
        inner = each.get("message_content", {}) if isinstance(each, Mapping) else {}
        if isinstance(inner, Mapping) and isinstance(inner.get("tool_call"), Mapping):
            tools.append(_leaf_tool(inner))
        elif isinstance(each, Mapping) and isinstance(each.get("tool_call"), Mapping):
            tools.append(_leaf_tool(each))
        elif isinstance(inner, Mapping) and inner:
            parts.append(dict(inner))
    if content is None and parts:
        content = "".join(p["text"] for p in parts) if all(isinstance(p.get("text"), str) for p in parts) else parts
    made: dict[str, Any] = {"role": raw.get("role") or "user", "content": content}
    if known := {str(tool["id"] or place): tool for place, tool in enumerate(tools)}:
        made["tool_calls"] = list(known.values())
    if raw.get("tool_call_id"):
        made["tool_call_id"] = raw["tool_call_id"]
    return made


def _leaf_tool(raw: Any) -> dict[str, Any]:
    call = raw.get("tool_call", raw) if isinstance(raw, Mapping) else {}
    call = call if isinstance(call, Mapping) else {}
    function = call.get("function") if isinstance(call.get("function"), Mapping) else call
    return {
        "id": call.get("id"),
        "name": function.get("name") if function else None,
        "arguments": structure(function.get("arguments")) if function else None,
    }
