"""What is read from a provider's response, by its shape alone."""

from types import SimpleNamespace
from typing import Any

import pytest

from watchkeeper.sdk.responses import Observed, carries_something, observe, piece_text, usage


def as_object(value: Any) -> Any:
    """The same response as a client's object would offer it."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(each) for key, each in value.items()})
    return [as_object(each) for each in value] if isinstance(value, list) else value


OPENAI_CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-5-2026-08-01",
    "system_fingerprint": "fp_1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 912,
        "completion_tokens": 210,
        "prompt_tokens_details": {"cached_tokens": 512},
        "completion_tokens_details": {"reasoning_tokens": 64},
    },
}
OPENAI_RESPONSES = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-5-2026-08-01",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
    ],
    "usage": {
        "input_tokens": 912,
        "input_tokens_details": {"cached_tokens": 512},
        "output_tokens": 210,
        "output_tokens_details": {"reasoning_tokens": 64},
    },
}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-opus-5",
    "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "hel"},
        {"type": "text", "text": "lo"},
    ],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 100,
        "output_tokens": 210,
        "cache_read_input_tokens": 512,
        "cache_creation_input_tokens": 300,
    },
}


@pytest.mark.parametrize("form", [dict, as_object])
def test_an_openai_chat_completion_is_read_whole(form: Any) -> None:
    assert observe(form(OPENAI_CHAT)) == Observed(
        response="hello",
        model_served="gpt-5-2026-08-01",
        id="chatcmpl-1",
        finish_reason="stop",
        system_fingerprint="fp_1",
        usage={"input": 912, "output": 210, "cache_read": 512, "reasoning": 64},
    )


@pytest.mark.parametrize("form", [dict, as_object])
def test_an_openai_response_is_read_whole(form: Any) -> None:
    seen = observe(form(OPENAI_RESPONSES))
    assert (seen.response, seen.id, seen.finish_reason) == ("hello", "resp_1", "completed")
    assert seen.usage == {"input": 912, "output": 210, "cache_read": 512, "reasoning": 64}


@pytest.mark.parametrize("form", [dict, as_object])
def test_anthropics_input_tokens_leave_the_cache_out_so_it_is_added(form: Any) -> None:
    seen = observe(form(ANTHROPIC))
    assert (seen.response, seen.model_served, seen.finish_reason) == ("hello", "claude-opus-5", "end_turn")
    assert seen.usage == {"input": 912, "output": 210, "cache_read": 512, "cache_write": 300}


@pytest.mark.parametrize("value", [None, 1, "text", [], {}, object(), {"choices": 1, "usage": "x"}, {"choices": [0]}])
def test_what_is_not_a_response_says_nothing(value: object) -> None:
    assert observe(value) == Observed()


@pytest.mark.parametrize("wrong", [-1, 1.5, "9", True, None])
def test_a_count_that_is_not_a_whole_number_is_not_known(wrong: object) -> None:
    assert usage({"prompt_tokens": wrong, "completion_tokens": 1}) == {}


@pytest.mark.parametrize(
    ("piece", "text", "something"),
    [
        ("", "", False),
        ("a", "a", True),
        (b"", "", False),
        (None, "", False),
        ({"choices": []}, "", False),
        ({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, "", False),
        ({"choices": [{"delta": {"content": "a"}}]}, "a", True),
        ({"choices": [{"delta": {"content": None, "tool_calls": [{"index": 0}]}}]}, "", True),
        ({"type": "message_start", "message": {}}, "", False),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}, "a", True),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, "", False),
        ({"type": "response.created"}, "", False),
        ({"type": "response.output_text.delta", "delta": "a"}, "a", True),
    ],
)
def test_the_first_piece_that_carries_something_is_not_a_frame(piece: object, text: str, something: bool) -> None:
    assert carries_something(piece) is something
    assert isinstance(piece, bytes) or piece_text(piece) == text
