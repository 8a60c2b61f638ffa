"""OpenAI's client under other people's instrumentation, unchanged, gives full records: the same ones by every way."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.responses_stand_in import responses_stand_in
from tests.edges.provider_stand_in import Reply, chat_chunks, chat_completion, provider_stand_in

PROGRAM = Path(__file__).parent / "instrumented_client.py"
LONG_ANSWER = "one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve"
RECORDED: list[dict[str, Any]] = [
    {
        "model": "old-1",
        "prompt": "two and two?",
        "response": "four",
        "usage": {"input": 10, "output": 2, "cache_read": 4, "reasoning": 1},
    },
    {
        "model": "old-1",
        "prompt": "count",
        "response": LONG_ANSWER,
        "finish_reason": "length",
        "usage": {"input": 7, "output": 20},
    },
    {
        "model": "old-1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "two and two?"}],
        "response": "4",
        "usage": {"input": 9, "output": 1},
    },
]
WAYS = {
    "openinference": ("openinference", ""),
    "opentelemetry, content on spans": ("opentelemetry", "span_only"),
    "opentelemetry, content in log events": ("opentelemetry", "event_only"),
    "both at once": ("both", "span_only"),
    "nothing but the SDK": ("none", ""),
}
INSTRUMENTED = [way for way in WAYS if way != "nothing but the SDK"]
ASKED = [{"role": "user", "content": "two and two?"}]

Record = dict[str, Any]


@contextmanager
def started(root: Path, *arguments: str) -> Iterator[str]:
    """A command that listens; where it does."""
    command = [sys.executable, "-m", "watchkeeper", *arguments, "--port", "0"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


def replies() -> list[Reply]:
    """What the client of tools meets, in the order it asks: the recorded format holds words only."""
    function = {"name": "lookup_order", "arguments": '{"id": 17}'}
    asked = [{"id": "call_1", "type": "function", "function": function}]
    chunks = [json.loads(each) for each in chat_chunks(())[:-1]]
    choice = chunks[0]["choices"][0]
    begun = {**asked[0], "index": 0, "function": {"name": "lookup_order", "arguments": ""}}
    grown = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"id', '": 17}')]
    pieces = [{**chunks[0], "choices": [{**choice, "delta": {"tool_calls": [each]}}]} for each in (begun, *grown)]
    chunks[-2]["choices"][0]["finish_reason"] = "tool_calls"
    whole = chat_completion(None, tool_calls=asked)
    whole["choices"][0]["finish_reason"] = "tool_calls"
    several = chat_completion("one")
    several["choices"].append({**chat_completion("other")["choices"][0], "index": 1})
    return [
        Reply(body=whole),
        Reply(kind="events", body=[*(json.dumps(each) for each in (chunks[0], *pieces, *chunks[1:])), "[DONE]"]),
        Reply(body=chat_completion(None, refusal="I will not.")),
        Reply(body=several),
    ]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, dict[str, Record]]]]:
    """The folder of an installation, and way -> what was done -> the record it left there."""
    root = tmp_path_factory.mktemp("installation")
    (root / "watchkeeper.toml").write_text("")
    recorded = root / "recorded.jsonl"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in RECORDED))
    with (
        started(root, "replay", str(recorded)) as replay,
        started(root, "replay", str(recorded), "--fault", "429=1") as limited,
        started(root, "serve") as receiver,
        provider_stand_in() as anew,
        responses_stand_in() as responses,
        httpx.Client(base_url=receiver, timeout=60, trust_env=False) as client,
    ):
        found = {}
        for way, (which, content) in WAYS.items():
            tools = anew()
            tools.then(*replies())
            apis = (f"{replay}/v1", f"{limited}/v1", tools.base_url, responses)
            traces = done_by(which, content, *apis, receiver=receiver)
            found[way] = {name: client.get(f"/api/requests/{trace}").json() for name, trace in traces.items()}
        yield root, found


def done_by(which: str, content: str, *apis: str, receiver: str) -> dict[str, str]:
    """What the program did -> the trace it did it in."""
    environment = {
        **os.environ,
        "OTEL_SERVICE_NAME": "desk",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.version=2026.11.3",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": content or "no_content",
        "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": str(content == "event_only").lower(),
    }
    command = [sys.executable, str(PROGRAM), which, *apis]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Failed to export" not in done.stderr
    traces: dict[str, str] = json.loads(done.stdout)
    return traces


@pytest.fixture(scope="module")
def records(installation: tuple[Path, dict[str, dict[str, Record]]]) -> dict[str, dict[str, Record]]:
    return installation[1]


def only_call(record: Record) -> Record:
    (call,) = record["calls"]
    assert isinstance(call, dict)
    return call


def usage(input: int | None, output: int | None, **more: int) -> dict[str, int | None]:
    return {"input": input, "output": output, "cache_read": None, "cache_write": None, "reasoning": None, **more}


@pytest.mark.parametrize("did", ["sync", "async"])
@pytest.mark.parametrize("way", INSTRUMENTED)
def test_a_call_is_recorded_in_full(records: dict[str, dict[str, Record]], way: str, did: str) -> None:
    record = records[way][did]
    call = only_call(record)
    assert (record["route"], record["environment"], record["release"]) == (f"/{did}", "test", "2026.11.3")
    assert (record["input"], record["response"], record["error_type"]) == ("two and two?", "four", None)
    assert (call["provider"], call["model_requested"], call["model_served"]) == ("openai", "old-1", "old-1")
    assert call["params"] == {"temperature": 0.2, "max_tokens": 50, "seed": 7}
    assert call["messages"] == ASKED
    assert (call["response"], call["finish_reason"], call["error_type"]) == ("four", "stop", None)
    assert call["usage"] == usage(10, 2, cache_read=4, reasoning=1)
    assert (call["ttft_ms"], call["response_id"]) == (None, "chatcmpl-recorded")
    assert 0 < call["latency_ms"] <= record["latency_ms"]


@pytest.mark.parametrize("did", ["stream", "async_stream"])
@pytest.mark.parametrize("way", INSTRUMENTED)
def test_a_stream_is_recorded_with_its_first_word_and_its_usage(
    records: dict[str, dict[str, Record]], way: str, did: str
) -> None:
    record = records[way][did]
    call = only_call(record)
    assert (record["input"], record["response"]) == ("count", LONG_ANSWER)
    assert (call["response"], call["finish_reason"]) == (LONG_ANSWER, "length")
    assert call["usage"] == usage(7, 20)
    assert call["params"]["stream"] is True
    assert 0 < call["ttft_ms"] <= call["latency_ms"]
    assert call["ttft_ms"] <= record["ttft_ms"] <= record["latency_ms"]


@pytest.mark.parametrize("way", INSTRUMENTED)
def test_an_abandoned_stream_has_the_words_that_came_and_no_made_up_usage(
    records: dict[str, dict[str, Record]], way: str
) -> None:
    call = only_call(records[way]["abandoned"])
    assert call["response"]
    assert LONG_ANSWER.startswith(call["response"])
    assert call["usage"] == usage(None, None)
    assert call["error_type"] is None


@pytest.mark.parametrize("way", INSTRUMENTED)
def test_an_application_span_around_two_calls_is_one_request(records: dict[str, dict[str, Record]], way: str) -> None:
    record = records[way]["two_calls"]
    assert [call["response"] for call in record["calls"]] == ["four", "4"]
    assert [len(call["messages"]) for call in record["calls"]] == [1, 2]
    assert record["calls"][1]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (record["route"], record["input"], record["response"]) == ("/two_calls", "two and two?", "4")


@pytest.mark.parametrize("way", INSTRUMENTED)
def test_a_refused_call_has_our_word_for_the_error_and_nothing_that_was_not_said(
    records: dict[str, dict[str, Record]], way: str
) -> None:
    caught, raised = records[way]["unknown"], records[way]["limited"]
    assert (only_call(caught)["error_type"], caught["error_type"]) == ("not_found", None)
    assert (only_call(raised)["error_type"], raised["error_type"]) == ("rate_limited", "rate_limited")
    for call in (only_call(caught), only_call(raised)):
        assert call["model_requested"] == "old-1"
        assert call["model_served"] is call["response"] is call["finish_reason"] is None
        assert call["usage"] == usage(None, None)
        assert call["messages"][0]["role"] == "user"


@pytest.mark.parametrize("did", ["tools", "streamed_tools"])
@pytest.mark.parametrize("way", INSTRUMENTED)
def test_an_answer_that_asks_for_a_tool_is_a_tool_call(
    records: dict[str, dict[str, Record]], way: str, did: str
) -> None:
    record = records[way][did]
    call = only_call(record)
    assert (call["model_served"], call["finish_reason"]) == ("m-1-2026-08-01", "tool_calls")
    assert call["response"] is None
    assert [(each["name"], each["arguments"], each["call_id"]) for each in record["tool_calls"]] == [
        ("lookup_order", {"id": 17}, "call_1")
    ]
    assert call["usage"] == usage(100, 50, cache_read=40, cache_write=7, reasoning=20)


@pytest.mark.parametrize("way", INSTRUMENTED)
def test_of_several_answers_the_first_is_kept_and_how_many_were_wanted(
    records: dict[str, dict[str, Record]], way: str
) -> None:
    call = only_call(records[way]["choices"])
    assert (call["response"], call["params"]) == ("one", {"n": 2})


@pytest.mark.parametrize("way", INSTRUMENTED)
def test_the_words_of_a_refusal_are_the_response(records: dict[str, dict[str, Record]], way: str) -> None:
    assert only_call(records[way]["refusal"])["response"] == "I will not."


@pytest.mark.parametrize("did", ["response", "streamed_response"])
@pytest.mark.parametrize("way", INSTRUMENTED)
def test_an_answer_of_the_responses_api_is_recorded_in_full(
    records: dict[str, dict[str, Record]], way: str, did: str
) -> None:
    record = records[way][did]
    call = only_call(record)
    assert (record["input"], record["response"]) == ("words", "It left on Monday.")
    assert call["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "words"}]
    assert (call["model_requested"], call["model_served"], call["response_id"]) == (
        "gpt-5", "gpt-5-2026-08-01", "resp_1"
    )  # fmt: skip
    assert (call["response"], call["finish_reason"]) == ("It left on Monday.", "stop")
    assert {**call["usage"], "cache_write": None} == usage(40, 12, cache_read=32, reasoning=5)
    assert (call["ttft_ms"] is not None) == (did == "streamed_response")


@pytest.mark.parametrize("way", INSTRUMENTED)
def test_an_answer_of_the_responses_api_that_only_asks_for_a_tool_or_is_cut_off_says_so(
    records: dict[str, dict[str, Record]], way: str
) -> None:
    record = records[way]["response_tool"]
    assert (only_call(record)["response"], only_call(record)["finish_reason"]) == (None, "tool_calls")
    assert [(each["name"], each["arguments"]) for each in record["tool_calls"]] == [("lookup_order", {"id": 17})]
    cut_off = only_call(records[way]["response_too_long"])
    assert (cut_off["response"], cut_off["finish_reason"]) == ("It left on Monday.", "length")


@pytest.mark.parametrize("way", INSTRUMENTED)
def test_an_answer_of_the_responses_api_may_hold_words_and_a_tool_call(
    records: dict[str, dict[str, Record]], way: str
) -> None:
    record = records[way]["response_words_and_tool"]
    assert (record["response"], only_call(record)["finish_reason"]) == ("It left on Monday.", "tool_calls")
    assert [(each["name"], each["arguments"]) for each in record["tool_calls"]] == [("lookup_order", {"id": 17})]


def comparable(record: Record) -> Record:
    """A record without what differs between two runs, or what only one instrumentation says."""
    calls = [
        {key: value for key, value in call.items() if key not in ("span_id", "latency_ms", "attributes")}
        for call in record["calls"]
    ]
    for call in calls:
        call["ttft_ms"] = call["ttft_ms"] is not None
        call["params"] = {key: value for key, value in call["params"].items() if key not in ("stream_options",)}
        if call["params"].get("stream"):
            del call["system_fingerprint"]  # of streams only OpenInference tells it
    tools = [{key: value for key, value in tool.items() if key != "span_id"} for tool in record["tool_calls"]]
    ran = ("trace_id", "span_id", "started_at", "latency_ms", "ttft_ms")
    return {**{k: v for k, v in record.items() if k not in ran}, "calls": calls, "tool_calls": tools}


@pytest.mark.parametrize(
    "did",
    ["sync", "async", "stream", "async_stream", "two_calls", "unknown", "limited", "tools", "streamed_tools"],
)
@pytest.mark.parametrize("way", INSTRUMENTED[1:])
def test_every_instrumentation_gives_the_same_record(records: dict[str, dict[str, Record]], way: str, did: str) -> None:
    assert comparable(records[way][did]) == comparable(records["openinference"][did])


def test_spans_written_by_hand_give_the_same_record(records: dict[str, dict[str, Record]]) -> None:
    by_hand = comparable(records["nothing but the SDK"]["sync"])
    assert by_hand == comparable(records["openinference"]["sync"])


def test_the_export_holds_what_the_api_shows(installation: tuple[Path, dict[str, dict[str, Record]]]) -> None:
    root, records = installation
    command = [sys.executable, "-m", "watchkeeper", "records", "export", "--output", "out.jsonl"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    exported = {each["trace_id"]: each for each in map(json.loads, (root / "out.jsonl").read_text().splitlines())}
    shown = [record for did in records.values() for record in did.values()]
    assert exported == {record["trace_id"]: record for record in shown}
