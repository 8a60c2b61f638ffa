"""The provider adapters against a provider that answers, fails, hangs and lies over real HTTP."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

import pytest

from tests.edges.provider_stand_in import (
    KEY,
    Provider,
    Reply,
    anthropic_error,
    anthropic_message,
    chat_chunks,
    chat_completion,
    message_events,
    openai_error,
    provider_stand_in,
)
from watchkeeper.foundation.errors import Misconfigured, Transient
from watchkeeper.providers.connect import ProviderConfig, connect
from watchkeeper.providers.interface import CallFailure, ChatModel, Completion, OfferedModel, Usage
from watchkeeper.providers.retry import RetryPolicy

Kind = Literal["openai", "anthropic"]
QUICK = RetryPolicy(base_s=0.01, cap_s=0.02)
ASKED = [{"role": "user", "content": "two and two?"}]
both_wires = pytest.mark.parametrize("kind", ["openai", "anthropic"])


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Callable[[], Provider]]:
    with provider_stand_in() as anew:
        yield anew


@pytest.fixture
def provider(stand_in: Callable[[], Provider]) -> Provider:
    return stand_in()


def with_chat(
    base_url: str,
    use: Callable[[ChatModel], Awaitable[Any]],
    *,
    kind: Kind = "openai",
    key: str | None = KEY,
    policy: RetryPolicy = QUICK,
    **limits: Any,
) -> Any:
    async def run() -> Any:
        config = ProviderConfig(name="p", kind=kind, base_url=base_url, api_key=key, **{"timeout_s": 10.0, **limits})
        chat = connect(config, policy=policy)
        try:
            return await use(chat)
        finally:
            await chat.aclose()

    return asyncio.run(run())


def ask(base_url: str, *, messages: Any = ASKED, params: Any = None, model: str = "m-1", **options: Any) -> Any:
    return with_chat(base_url, lambda chat: chat.complete(model, messages, params or {}), **options)


def ask_many(base_url: str, calls: int, **options: Any) -> list[Completion | CallFailure]:
    async def all_at_once(chat: ChatModel) -> Any:
        return await asyncio.gather(*(chat.complete("m-1", ASKED, {}) for _ in range(calls)))

    found: list[Completion | CallFailure] = with_chat(base_url, all_at_once, **options)
    return found


def listed(base_url: str, **options: Any) -> list[OfferedModel]:
    found: list[OfferedModel] = with_chat(base_url, lambda chat: chat.list_models(), **options)
    return found


def error(kind: Kind, status: int, **headers: str) -> Reply:
    return (
        anthropic_error(status, "", **headers) if kind == "anthropic" else openai_error(status, None, headers=headers)
    )


def good(kind: Kind) -> dict[str, Any]:
    return anthropic_message() if kind == "anthropic" else chat_completion()


def streaming(kind: Kind, data: list[str]) -> Reply:
    return Reply(kind="events", body=data)


# -- what is tried again -----------------------------------------------------------------------


@both_wires
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_passing_failure_is_tried_again(provider: Provider, kind: Kind, status: int) -> None:
    provider.then(error(kind, status))
    answer = ask(provider.base_url, kind=kind)
    assert (answer.text, answer.tries) == ("four", 2)
    assert len(provider.asked) == 2


@both_wires
def test_an_answer_cut_in_the_middle_is_tried_again(provider: Provider, kind: Kind) -> None:
    provider.then(Reply(kind="cut", body=good(kind)))
    answer = ask(provider.base_url, kind=kind)
    assert (answer.text, answer.tries) == ("four", 2)


@both_wires
@pytest.mark.parametrize("whole", [True, False])
def test_a_stream_that_breaks_off_is_no_answer_and_is_tried_again(provider: Provider, kind: Kind, whole: bool) -> None:
    data = message_events(end=False) if kind == "anthropic" else chat_chunks(end=False)
    provider.then(streaming(kind, data if whole else [*data, '{"cut']))
    answer = ask(provider.base_url, kind=kind, params={"stream": True})
    assert (answer.text, answer.tries) == ("four", 2)


@both_wires
def test_nobody_listening_is_tried_again_and_called_what_it_is(kind: Kind) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        failure = ask(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", kind=kind, policy=RetryPolicy(base_s=0.01))
    assert (failure.error_type, failure.status, failure.tries) == ("connect", None, 5)
    assert failure.message == "cannot be connected to"


def test_a_connection_closed_before_any_answer_is_a_broken_connection_not_a_timeout() -> None:
    with raw_server(b"") as base_url:
        failure = ask(base_url)
    assert failure.error_type == "connect"
    assert failure.message.startswith("the connection broke (")


def test_a_server_that_does_not_speak_http_is_a_failure_like_any_other() -> None:
    with raw_server(b"220 mail.example ESMTP\r\n\r\n") as base_url:
        failure = ask(base_url)
        with pytest.raises(Transient, match="the model list: the connection broke"):
            listed(base_url)
    assert failure.error_type == "connect"


@contextmanager
def raw_server(says: bytes) -> Iterator[str]:
    """Takes every connection, reads what comes, says that, and closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(says)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "1"}, 0.95, 5),
        ({"retry-after-ms": "300", "retry-after": "30"}, 0.29, 5),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 0.95, 5),
        ({"retry-after": "3600"}, 0, 5),  # over a minute: our own wait
        ({"retry-after": "-1"}, 0, 5),
        ({"retry-after": "tomorrow"}, 0, 5),
        ({"retry-after": "nan"}, 0, 5),
    ],
)
@both_wires
def test_the_wait_the_server_asks_for_is_kept(
    provider: Provider, kind: Kind, headers: dict[str, str], least: float, most: float
) -> None:
    provider.then(error(kind, 429, **headers))
    assert ask(provider.base_url, kind=kind).text == "four"
    (gap,) = provider.gaps()
    assert least <= gap < most


def test_the_wait_may_be_an_http_date(provider: Provider) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    provider.then(openai_error(503, None, headers={"retry-after": format_datetime(at, usegmt=True)}))
    assert ask(provider.base_url).text == "four"
    assert datetime.now(UTC) >= at.replace(microsecond=0)
    assert provider.gaps()[0] < 5


@both_wires
def test_the_server_may_forbid_a_retry(provider: Provider, kind: Kind) -> None:
    provider.then(error(kind, 503, **{"x-should-retry": "false"}))
    failure = ask(provider.base_url, kind=kind)
    assert (failure.error_type, failure.tries, len(provider.asked)) == ("overloaded", 1, 1)


@both_wires
def test_the_server_may_ask_for_a_retry(provider: Provider, kind: Kind) -> None:
    provider.then(error(kind, 400, **{"x-should-retry": "true"}))
    assert ask(provider.base_url, kind=kind).tries == 2


QUOTA = {"type": "insufficient_quota"}
NEVER = [
    ("openai", openai_error(429, "insufficient_quota", "You exceeded your current quota", **QUOTA), "quota_exhausted"),
    ("openai", openai_error(429, None, headers={"x-should-retry": "true"}, **QUOTA), "quota_exhausted"),
    ("openai", openai_error(400, None), "bad_request"),
    ("openai", openai_error(400, "context_length_exceeded"), "context_length"),
    ("openai", openai_error(400, "content_filter"), "content_filtered"),
    ("openai", openai_error(401, "invalid_api_key"), "auth"),
    ("openai", openai_error(403, "unsupported_country_region_territory"), "auth"),
    ("openai", openai_error(404, "model_not_found"), "model_not_found"),
    ("openai", openai_error(404, None), "not_found"),
    ("openai", Reply(status=404, body=b"<html>no such page</html>"), "not_found"),
    ("anthropic", anthropic_error(400, "invalid_request_error"), "bad_request"),
    ("anthropic", anthropic_error(401, "authentication_error"), "auth"),
    ("anthropic", anthropic_error(403, "permission_error"), "auth"),
    ("anthropic", anthropic_error(404, "not_found_error", "model: m-1"), "model_not_found"),
    ("anthropic", anthropic_error(413, "request_too_large"), "context_length"),
]


@pytest.mark.parametrize(("kind", "reply", "error_type"), NEVER)
def test_what_cannot_get_better_is_asked_once(provider: Provider, kind: Kind, reply: Reply, error_type: str) -> None:
    provider.always = reply
    failure = ask(provider.base_url, kind=kind)
    assert (failure.error_type, failure.status, failure.tries) == (error_type, reply.status, 1)
    assert failure.request_id == ("req_refused" if reply.headers else None)
    assert len(provider.asked) == 1


def test_retries_end_and_the_last_failure_is_told(provider: Provider) -> None:
    provider.always = openai_error(500, None, "the  engine\nis on fire")
    failure = ask(provider.base_url, policy=RetryPolicy(max_retries=2, base_s=0.01))
    assert (failure.error_type, failure.status, failure.tries) == ("server_error", 500, 3)
    assert failure.message == "500: the engine is on fire"
    assert len(provider.asked) == 3


# -- limits -------------------------------------------------------------------------------------


@both_wires
@pytest.mark.parametrize("how", ["hang", "drip"])
@pytest.mark.parametrize("params", [{}, {"stream": True}])
def test_an_attempt_ends_at_its_time_limit_whatever_the_server_does(
    provider: Provider, kind: Kind, how: Literal["hang", "drip"], params: dict[str, Any]
) -> None:
    provider.always = Reply(kind=how)
    began = time.monotonic()
    failure = ask(
        provider.base_url, kind=kind, params=params, timeout_s=0.2, policy=RetryPolicy(max_retries=1, base_s=0.01)
    )
    assert (failure.error_type, failure.tries) == ("timeout", 2)
    assert failure.message == "no whole answer within 0.2 s"
    assert 0.4 <= time.monotonic() - began < 3


@both_wires
def test_never_more_calls_at_once_than_allowed(provider: Provider, kind: Kind) -> None:
    provider.always = Reply(body=good(kind), hold_s=0.05)
    answers = ask_many(provider.base_url, 20, kind=kind, concurrency=4)
    assert [answer.tries for answer in answers] == [1] * 20
    assert provider.most_at_once == 4


def test_not_one_more_at_once_while_an_outage_is_suspected(provider: Provider) -> None:
    slow = Reply(body=chat_completion(), hold_s=0.2)
    provider.then(slow, openai_error(503, None))
    provider.always = slow
    policy = RetryPolicy(base_s=0.01, breaker_failures=1, breaker_s=60)
    answers = ask_many(provider.base_url, 5, concurrency=2, policy=policy)
    assert all(isinstance(answer, Completion) for answer in answers)
    assert provider.most_at_once == 2


def test_the_retries_of_all_calls_together_are_limited(provider: Provider) -> None:
    provider.always = openai_error(429, "rate_limit_exceeded")
    policy = RetryPolicy(base_s=0.01, budget_floor=3, budget_share=0.0)
    failures = ask_many(provider.base_url, 10, policy=policy)
    assert len(provider.asked) == 13
    told = [f for f in failures if isinstance(f, CallFailure) and "the retry budget is used up" in f.message]
    assert len(told) == 10


def test_a_dead_provider_is_left_alone_after_a_while(provider: Provider) -> None:
    provider.always = openai_error(503, None)
    policy = RetryPolicy(max_retries=10, base_s=0.01, breaker_failures=3, breaker_s=0)

    async def twice(chat: ChatModel) -> Any:
        return [await chat.complete("m-1", ASKED, {}) for _ in range(2)]

    first, second = with_chat(provider.base_url, twice, policy=policy)
    assert (first.error_type, first.tries) == ("circuit_open", 3)
    assert (second.error_type, second.tries) == ("circuit_open", 0)
    assert len(provider.asked) == 3


def test_calls_that_wait_for_their_turn_do_not_try_a_dead_provider_one_after_the_other(provider: Provider) -> None:
    provider.always = Reply(kind="hang")
    policy = RetryPolicy(max_retries=0, breaker_failures=2, breaker_s=0)
    failures = ask_many(provider.base_url, 30, concurrency=2, timeout_s=0.3, policy=policy)
    assert len(provider.asked) <= 4
    assert [f.error_type for f in failures if isinstance(f, CallFailure)].count("circuit_open") >= 26


def test_a_provider_that_comes_back_is_trusted_again(provider: Provider) -> None:
    down = openai_error(503, None)
    provider.then(down, down, Reply(body=chat_completion()))
    provider.then(openai_error(503, None, headers={"retry-after-ms": "1100"}))
    policy = RetryPolicy(base_s=0.01, breaker_failures=2, breaker_s=1.0)

    async def twice(chat: ChatModel) -> Any:
        return [await chat.complete("m-1", ASKED, {}) for _ in range(2)]

    first, second = with_chat(provider.base_url, twice, policy=policy)
    # Were the first two failures still counted, the third would be of an outage over a second old.
    assert (first.text, first.tries, second.text, second.tries) == ("four", 3, "four", 2)


def test_refusals_are_no_outage(provider: Provider) -> None:
    provider.always = openai_error(400, None)
    policy = RetryPolicy(base_s=0.01, breaker_failures=2, breaker_s=0)
    failures = ask_many(provider.base_url, 5, concurrency=1, policy=policy)
    assert [f.error_type for f in failures if isinstance(f, CallFailure)] == ["bad_request"] * 5


# -- what is kept of an answer -------------------------------------------------------------------


@pytest.mark.parametrize("params", [{}, {"stream": True}])
def test_everything_openai_says_of_an_answer_is_kept(provider: Provider, params: dict[str, Any]) -> None:
    answer = ask(provider.base_url, params=params)
    assert answer.text == "four"
    assert (answer.model_served, answer.system_fingerprint) == ("m-1-2026-08-01", "fp_1")
    assert (answer.finish_reason, answer.request_id, answer.tries) == ("stop", "req_1", 1)
    assert answer.usage == Usage(input=100, output=50, cache_read=40, cache_write=7, reasoning=20)
    timed(answer, bool(params))
    (asked,) = provider.asked
    assert (asked.body["model"], asked.body["messages"]) == ("m-1", ASKED)
    assert asked.body.get("stream_options") == ({"include_usage": True} if params else None)


@pytest.mark.parametrize("params", [{}, {"stream": True}])
def test_everything_anthropic_says_is_kept_and_cached_input_is_input(
    provider: Provider, params: dict[str, Any]
) -> None:
    answer = ask(provider.base_url, kind="anthropic", params=params)
    assert answer.text == "four"
    assert (answer.model_served, answer.finish_reason, answer.request_id) == ("m-1-20260801", "end_turn", "req_1")
    assert answer.usage == Usage(input=1050, output=30, cache_read=900, cache_write=50)
    timed(answer, bool(params))


def timed(answer: Completion, streamed: bool) -> None:
    assert 0 < answer.latency_ms < 10_000
    if streamed:
        assert answer.ttft_ms is not None
        assert 0 < answer.ttft_ms <= answer.latency_ms
    else:
        assert answer.ttft_ms is None


def test_instructions_reach_anthropic_apart_from_the_conversation(provider: Provider) -> None:
    system = {"role": "system", "content": "Be brief."}
    ask(provider.base_url, kind="anthropic", messages=[system, *ASKED], params={"temperature": 0})
    (asked,) = provider.asked
    assert (asked.body["system"], asked.body["messages"]) == ("Be brief.", ASKED)
    assert (asked.body["max_tokens"], asked.body["temperature"]) == (4096, 0)


@both_wires
def test_the_address_may_end_in_a_slash(provider: Provider, kind: Kind) -> None:
    assert ask(provider.base_url + "/", kind=kind).text == "four"


def test_what_a_provider_charges_is_kept(provider: Provider) -> None:
    body = chat_completion()
    body["usage"]["cost"] = 0.000123
    provider.then(Reply(body=body))
    assert ask(provider.base_url).cost_nano_usd == 123_000


PARTS = [{"type": "text", "text": "fo"}, {"type": "image_url"}, {"type": "text", "text": "ur"}]
CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
USES = [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]
THOUGHT = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "four"}]


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("openai", chat_completion(None), ""),
        ("openai", chat_completion(PARTS), "four"),
        ("openai", chat_completion(None, tool_calls=CALLS), ""),
        ("openai", chat_completion(None, refusal="I cannot."), "I cannot."),
        ("openai", chat_completion("a\u2028b\x00\u202e"), "a\u2028b\x00\u202e"),
        ("openai", chat_completion("half \ud83d of a pair"), "half \ud83d of a pair"),
        ("anthropic", anthropic_message(PARTS), "four"),
        ("anthropic", anthropic_message(USES), ""),
        ("anthropic", anthropic_message(THOUGHT), "four"),
        ("anthropic", anthropic_message([]), ""),
    ],
)
def test_every_shape_of_content_is_an_answer(provider: Provider, kind: Kind, body: Any, text: str) -> None:
    provider.then(Reply(body=body))
    answer = ask(provider.base_url, kind=kind)
    assert (answer.text, answer.tries) == (text, 1)


@both_wires
def test_counts_the_provider_does_not_give_are_unknown(provider: Provider, kind: Kind) -> None:
    body = good(kind)
    body["usage"] = {"prompt_tokens": "many", "input_tokens": True, "output_tokens": -1, "completion_tokens": 1.5}
    del body["model"]
    provider.then(Reply(body=body))
    answer = ask(provider.base_url, kind=kind)
    assert (answer.usage, answer.model_served) == (Usage(), None)


@both_wires
@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(body=b"<html>Welcome to the proxy</html>"), "not JSON"),
        (Reply(body=b"[" * 100_000), "not JSON"),
        (Reply(body=b"\xff\xfe"), "not JSON"),
        (Reply(body=b"plain", headers={"content-encoding": "gzip"}), "cannot be unpacked"),
        (Reply(body={}), "has no"),
        (Reply(body={"choices": [], "content": None}), "has no"),
        (Reply(body={"choices": [{"message": None}], "content": "text"}), "has no"),
        (Reply(body={"choices": 5, "content": 5}), "has no"),
        (Reply(body=["four"]), "no"),
        (Reply(status=302, headers={"location": "/login"}), "302"),
    ],
)
def test_an_answer_that_cannot_be_understood_is_tried_again_and_then_told(
    provider: Provider, kind: Kind, reply: Reply, says: str
) -> None:
    provider.then(reply)
    assert ask(provider.base_url, kind=kind).tries == 2
    provider.always = reply
    failure = ask(provider.base_url, kind=kind, policy=RetryPolicy(max_retries=1, base_s=0.01))
    assert (failure.error_type, failure.tries) == ("bad_response", 2)
    assert says in failure.message


@pytest.mark.parametrize(
    "event",
    ["{", "[1]", '{"choices": 5}', '{"choices": [7]}', '{"choices": [{"delta": {"content": 7}}]}', "[" * 60_000],
)
@both_wires
def test_a_stream_of_nonsense_is_no_crash(provider: Provider, kind: Kind, event: str) -> None:
    provider.always = streaming(kind, [event])
    failure = ask(provider.base_url, kind=kind, params={"stream": True})
    assert failure.error_type == "bad_response"
    assert failure.message.startswith("the stream ")


@both_wires
def test_a_line_separator_in_a_streamed_answer_does_not_end_its_line(provider: Provider, kind: Kind) -> None:
    pieces = ["one\u2028two", "\u0085three\u2029"]
    provider.then(streaming(kind, message_events(pieces) if kind == "anthropic" else chat_chunks(pieces)))
    answer = ask(provider.base_url, kind=kind, params={"stream": True})
    assert (answer.text, answer.tries) == ("one\u2028two\u0085three\u2029", 1)


def test_a_streamed_refusal_is_the_answer(provider: Provider) -> None:
    refused = json.dumps({"choices": [{"index": 0, "delta": {"refusal": "I cannot."}, "finish_reason": "stop"}]})
    provider.then(streaming("openai", [refused, "[DONE]"]))
    assert ask(provider.base_url, params={"stream": True}).text == "I cannot."


IN_200 = [
    ("openai", openai_error(200, "model_not_found", "no such model"), "model_not_found", 1),
    ("openai", Reply(body={"error": {"code": 429, "message": "slow down"}}), "rate_limited", 2),
    ("openai", Reply(body={"error": {"code": 401, "message": "who are you?"}}), "auth", 1),
    ("openai", Reply(body={"error": "loading the model"}), "bad_response", 2),
    ("openai", openai_error(200, "insufficient_quota", type="insufficient_quota"), "quota_exhausted", 1),
    ("anthropic", anthropic_error(200, "overloaded_error", "Overloaded"), "overloaded", 2),
    ("anthropic", anthropic_error(200, "invalid_request_error"), "bad_request", 1),
]


@pytest.mark.parametrize("params", [{}, {"stream": True}])
@pytest.mark.parametrize(("kind", "reply", "error_type", "tries"), IN_200)
def test_an_error_under_status_200_is_what_it_says(
    provider: Provider, kind: Kind, reply: Reply, error_type: str, tries: int, params: dict[str, Any]
) -> None:
    provider.always = streaming(kind, [json.dumps(reply.body)]) if params else reply
    policy = RetryPolicy(max_retries=1, base_s=0.01)
    failure = ask(provider.base_url, kind=kind, params=params, policy=policy)
    assert (failure.error_type, failure.tries) == (error_type, tries)


# -- parameters a model does not take -------------------------------------------------------------


def unsupported(param: str) -> Reply:
    return openai_error(400, "unsupported_parameter", f"Unsupported parameter: '{param}'", param=param)


def test_max_tokens_is_renamed_for_a_model_that_refuses_it_and_only_for_that_one(provider: Provider) -> None:
    provider.then(unsupported("max_tokens"))

    async def three(chat: ChatModel) -> Any:
        params = {"max_tokens": 9, "seed": 1}
        return [await chat.complete(model, ASKED, params) for model in ("m-1", "m-1", "m-2")]

    answers = with_chat(provider.base_url, three)
    assert [answer.text for answer in answers] == ["four"] * 3
    sent = [{k: v for k, v in a.body.items() if k not in ("model", "messages")} for a in provider.asked]
    old, new = {"max_tokens": 9, "seed": 1}, {"max_completion_tokens": 9, "seed": 1}
    assert sent == [old, new, new, old]


def test_a_parameter_a_model_does_not_take_is_left_out(provider: Provider) -> None:
    provider.then(openai_error(400, "unsupported_value", "Only 1 is supported.", param="temperature"))
    assert ask(provider.base_url, params={"temperature": 0, "seed": 1}).text == "four"
    assert "temperature" not in provider.asked[1].body
    assert provider.asked[1].body["seed"] == 1


def test_a_parameter_with_a_bad_value_is_not_left_out_in_silence(provider: Provider) -> None:
    provider.then(openai_error(400, "decimal_above_max_value", "must be <= 2", param="temperature"))
    failure = ask(provider.base_url, params={"temperature": 3})
    assert (failure.error_type, failure.message) == ("bad_request", "400: must be <= 2")
    assert len(provider.asked) == 1


def test_a_server_that_does_not_know_stream_options_streams_without(provider: Provider) -> None:
    provider.then(unsupported("stream_options"))
    assert ask(provider.base_url, params={"stream": True}).text == "four"
    assert ["stream_options" in asked.body for asked in provider.asked] == [True, False]


def test_a_model_that_keeps_refusing_is_not_asked_for_ever(provider: Provider) -> None:
    provider.always = unsupported("seed")
    assert ask(provider.base_url, params={"seed": 1}).error_type == "bad_request"
    assert len(provider.asked) == 2


# -- the key ----------------------------------------------------------------------------------------

ECHO = f"you sent '{KEY}' in vain"
LEAKS = [
    openai_error(500, None, ECHO),
    openai_error(400, None, "x" * 190 + KEY),
    Reply(body={"error": {"message": ECHO}}),
    Reply(status=502, body=ECHO.encode()),
    Reply(body=ECHO.encode()),
    Reply(kind="cut", body={"x": ECHO}),
]


@both_wires
@pytest.mark.parametrize("reply", LEAKS)
def test_a_key_that_a_server_sends_back_is_in_no_message(provider: Provider, kind: Kind, reply: Reply) -> None:
    provider.always = provider.models = reply
    policy = RetryPolicy(max_retries=0)
    failure = ask(provider.base_url, kind=kind, policy=policy)
    with pytest.raises((Transient, Misconfigured)) as raised:
        listed(provider.base_url, kind=kind)
    assert isinstance(failure, CallFailure)
    assert KEY not in f"{failure!r} {raised.value}"


@both_wires
def test_a_refused_key_is_not_shown(provider: Provider, kind: Kind) -> None:
    failure = ask(provider.base_url, kind=kind, key="sk-secret-but-wrong")
    assert failure.error_type == "auth"
    assert "***" in failure.message
    assert "sk-secret" not in failure.message
    with pytest.raises(Misconfigured, match="provider 'p' refused the key") as raised:
        listed(provider.base_url, kind=kind, key="sk-secret-but-wrong")
    assert "sk-secret" not in str(raised.value)


@both_wires
@pytest.mark.parametrize("key", ["sk-secret\n", "sk-“secret”", "sk-secret\x00"])
def test_a_key_that_cannot_be_sent_is_a_setting_to_mend(provider: Provider, kind: Kind, key: str) -> None:
    with pytest.raises(Misconfigured, match="set its variable anew") as raised:
        ask(provider.base_url, kind=kind, key=key)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["", "ftp://h", "api.example/v1", "http://", "http://[::1", "http://h:port", "http://h:70000"]
)
@both_wires
def test_an_address_that_is_none_is_a_setting_to_mend(kind: Kind, url: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(f"providers.p.base_url: {url!r}")):
        ask(url, kind=kind)


# -- the list of models -----------------------------------------------------------------------------


def test_openais_list_is_read_with_its_dates(provider: Provider) -> None:
    rows = [{"id": "m-1", "created": 1_790_000_000, "shutdown_date": "2027-01-01"}, {"id": "m-2", "deprecation": 5}, 7]
    provider.models = Reply(body={"object": "list", "data": rows})
    first, second = listed(provider.base_url)
    assert (first.id, first.created, first.retires_on) == ("m-1", "2026-09-21T14:13:20+00:00", "2027-01-01")
    assert (second.id, second.created, second.retires_on) == ("m-2", None, None)


def test_a_bare_list_of_models_is_read_too(provider: Provider) -> None:
    provider.models = Reply(body=[{"id": "m-1"}])
    assert [model.id for model in listed(provider.base_url)] == ["m-1"]


def test_anthropics_list_is_read_to_its_last_page(provider: Provider) -> None:
    provider.models, provider.page_size = [f"m-{n}" for n in range(7)], 3
    found = listed(provider.base_url, kind="anthropic")
    assert [model.id for model in found] == provider.models
    assert found[0].created == "2026-08-01T00:00:00Z"
    assert [query.partition("after_id=")[2] for query in provider.listings] == ["", "m-2", "m-5"]


def test_half_of_anthropics_list_is_no_list(provider: Provider) -> None:
    provider.models = Reply(body={"data": [{"id": "m-1"}], "has_more": True, "last_id": None})
    with pytest.raises(Transient, match="breaks off after 1 models"):
        listed(provider.base_url, kind="anthropic")


@both_wires
@pytest.mark.parametrize(
    "reply",
    [
        Reply(body={"data": [], "has_more": False}),
        Reply(body={"data": [{"name": "m-1"}, 7], "has_more": False}),
        Reply(body={"data": None}),
        Reply(body={"error": {"message": "down"}}),
        Reply(body=b"<html>"),
        Reply(status=500),
        Reply(status=429),
        Reply(status=404),
        Reply(kind="cut", body={"data": [{"id": "m-1"}]}),
        Reply(kind="drip"),
    ],
)
def test_a_list_that_cannot_be_read_or_is_empty_is_never_no_models(
    provider: Provider, kind: Kind, reply: Reply
) -> None:
    provider.models = reply
    with pytest.raises(Transient, match="provider 'p': the model list"):
        listed(provider.base_url, kind=kind, timeout_s=0.3 if reply.kind == "drip" else 10.0)


@both_wires
def test_what_a_terminal_would_obey_is_not_in_a_message(provider: Provider, kind: Kind) -> None:
    provider.then(Reply(status=400, body={"error": {"message": "bad \x1b]0;owned\x07\x1b[31m field\r\n\u202e"}}))
    failure = ask(provider.base_url, kind=kind)
    assert failure.message.isprintable()
    assert "bad" in failure.message
