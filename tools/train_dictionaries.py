"""Make the zstd dictionaries that stored texts and spans are compressed with.

    .venv/bin/python tools/train_dictionaries.py FOLDER

Texts: from the documentation strings of Python's standard library, which is prose about software in the language most
prompts are in; it holds nobody's records. Spans: from made-up ones. What is stored can only be read with the dictionary
it was written with: so a better one is a new file with a new number, and the old file stays.
"""

import ast
import random
import re
import sys
from pathlib import Path

import orjson
import zstandard

TEXTS, SPANS = 1, 2
"""Numbers of the dictionaries: each frame says which one it needs."""


def main() -> None:
    folder = Path(sys.argv[1])
    texts = zstandard.train_dictionary(65_536, prose(Path(ast.__file__).parent), dict_id=TEXTS, level=3)
    spans = zstandard.train_dictionary(4_096, made_up_traces(8_000), dict_id=SPANS, level=3)
    (folder / "texts-1.zdict").write_bytes(texts.as_bytes())
    (folder / "spans-2.zdict").write_bytes(spans.as_bytes())


def prose(library: Path) -> list[bytes]:
    """The longer documentation strings, cut as prompts are long."""
    found: list[bytes] = []
    for file in sorted(library.rglob("*.py")):
        if "site-packages" in file.parts or "test" in file.parts or "tests" in file.parts:
            continue
        try:
            tree = ast.parse(file.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                words = re.sub(r"[ \t]+", " ", ast.get_docstring(node) or "")
                found += [words[at : at + 2000].encode() for at in range(0, len(words), 2000) if len(words) - at > 200]
    return found


def made_up_traces(count: int) -> list[bytes]:
    """Traces as `packing.pack_spans` writes them, of the fields and the names that are common."""
    rng = random.Random(7)
    return [
        orjson.dumps([made_up_span(rng) for _ in range(rng.choice((1, 1, 1, 2, 4)))])
        if place % 4
        else orjson.dumps(made_up_more(rng))
        for place in range(count)
    ]


def made_up_span(rng: random.Random) -> list[object]:
    start = 1_700_000_000_000_000_000 + rng.randrange(2 * 10**17)
    kind = rng.choice(("call", "call", "call", "call", "request", "retrieval", "tool_call", "agent", "other"))
    route = rng.choice(("/support/answer", "support.answer", "search", "/api/chat", "summary", "code.generate"))
    facts: dict[str, object] = {
        "session_id": rng.choice(("", "s-")) + rng.randbytes(rng.choice((3, 8, 16))).hex(),
        "environment": rng.choice(("production", "production", "staging")),
        "route": route,
        "release": f"2026.{rng.randrange(1, 13)}.{rng.randrange(10)}",
    }
    if rng.random() < 0.3:
        facts |= {"segment": rng.choice(("free", "paid")), "job_id": f"ticket-{rng.randrange(10**5)}"}
        facts |= {"prompt_id": "answer", "prompt_version": str(rng.randrange(30))}
    name = kind
    if kind == "call":
        name = rng.choice(("chat ", "chat ", "")) + made_up_call(rng, facts)
    elif kind == "request":
        facts |= {"input": key(rng), "response": key(rng), "own": {"plan": "free"}}
        name = route
    elif kind == "retrieval":
        facts["documents"] = [
            {"id": f"doc-{rng.randrange(999)}", "score": round(rng.random(), rng.choice((2, 6)))} for _ in range(3)
        ]
    elif kind == "tool_call":
        facts |= {"tool_name": "lookup_order", "tool_call_id": f"call_{key(rng)}", "tool_arguments": {"order": 991}}
        facts["tool_result"] = key(rng)
    facts["others"] = made_up_others(rng)
    if rng.random() < 0.05:
        facts["error"] = rng.choice(("timeout", "RateLimitError", "openai.APITimeoutError"))
    parent = None if rng.random() < 0.6 else rng.randbytes(8).hex()
    return [rng.randbytes(8).hex(), parent, name, kind, start, start + rng.randrange(10**10), "error" in facts, facts]


def made_up_call(rng: random.Random, facts: dict[str, object]) -> str:
    """Add what an inference says; the model that was asked."""
    provider, asked, served, answer = rng.choice(
        (
            ("openai", "gpt-4o", "gpt-4o-2024-08-06", "chatcmpl-"),
            ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "chatcmpl-"),
            ("openai", "gpt-5", "gpt-5-2026-08-01", "resp_"),
            ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "msg_01"),
            ("gcp.gen_ai", "gemini-2.5-pro", "gemini-2.5-pro", ""),
        )
    )
    facts |= {"provider": provider, "model_requested": asked, "model_served": served}
    if answer:
        facts["response_id"] = answer + (rng.randbytes(12).hex() if rng.random() < 0.5 else key(rng))
    facts |= {
        "finish_reason": rng.choice(("stop", "stop", "end_turn", "length", "tool_calls")),
        "tokens_input": rng.randrange(4000),
        "tokens_output": rng.randrange(1500),
    }
    if rng.random() < 0.6:
        facts["tokens_cache_read"] = rng.choice((0, 128, 512, 1024))
    if rng.random() < 0.2:
        facts["tokens_reasoning"] = rng.randrange(900)
    if rng.random() < 0.6:
        facts["ttft_ms"] = rng.random() * 2000
    if rng.random() < 0.8:
        facts["params"] = {"temperature": rng.choice((0, 0.2, 0.7, 1.0)), "max_tokens": rng.choice((500, 800, 2000))}
    roles = rng.choice((("system", "user"), ("user",), ("system", "user", "assistant", "user")))
    facts["messages"] = [f"{key(rng)}:{role}" for role in roles]
    facts["answer"] = key(rng)
    if rng.random() < 0.1:
        facts["tools"] = [{"id": f"call_{key(rng)}", "name": "lookup_order", "arguments": {"order": 991}}]
    return asked


def made_up_others(rng: random.Random) -> dict[str, object]:
    host = rng.choice(("api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com", "10.0.0.7"))
    return {"server.address": host, "server.port": 443}


def made_up_more(rng: random.Random) -> dict[str, object]:
    """What `calls.more` holds."""
    more: dict[str, object] = {"attributes": made_up_others(rng)}
    if rng.random() < 0.3:
        more["finish_reason_raw"] = "end_turn"
    more["response_id"] = rng.choice(("chatcmpl-", "resp_", "msg_01")) + rng.randbytes(12).hex()
    return more


def key(rng: random.Random) -> str:
    """As `packing.text_key` makes them."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(rng.choices(alphabet, k=22))


if __name__ == "__main__":
    main()
