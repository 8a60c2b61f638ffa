"""Host values as span attributes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.sdk import values
from watchkeeper.sdk.options import DEFAULT_ENDPOINT, default_spool, options
from watchkeeper.sdk.sender import retry_after

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(ANYTHING)
def test_whatever_comes_is_text_that_a_wire_can_carry_or_nothing(value: Any) -> None:
    for read in (
        values.text("x", value),
        values.content("x", value),
        values.messages(value),
        values.documents(value),
        values.as_json(value),
    ):
        assert read is None or isinstance(read.encode(), bytes)


def test_messages_of_both_shapes_become_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "u"}}
    function = {"name": "f", "arguments": "{}"}
    said = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": function}]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ]
    written = values.messages(said)
    assert written is not None
    assert json.loads(written) == [
        {"role": "system", "parts": [{"type": "text", "content": "be kind"}]},
        {
            "role": "user",
            "parts": [{"type": "text", "content": "look"}, {"type": "image_url", "image_url": {"url": "u"}}],
        },
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": "{}"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "42"}]},
    ]


def test_documents_may_be_mappings_or_bare_ids() -> None:
    written = values.documents([{"id": "a", "score": 0.5}, "b", 3])
    assert written == '[{"id": "a", "score": 0.5}, {"id": "b"}, {"id": "3"}]'


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://h:99999"])
def test_an_endpoint_that_is_none_gives_way_to_the_default(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHKEEPER_ENDPOINT", raising=False)
    assert options(endpoint=url).endpoint == DEFAULT_ENDPOINT


def test_two_endpoints_never_share_a_default_spool() -> None:
    assert default_spool("http://a") != default_spool("http://b")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("3", 3.0), ("-1", 0.0), ("soon", None), ("Thu, 01 Jan 1970 00:00:30 GMT", 10.0)],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, lambda: 20.0) == seconds
