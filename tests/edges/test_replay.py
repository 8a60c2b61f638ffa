"""The replay server as its own process: OpenAI's shapes, files that grow, faults on request, a prompt end."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

COMMAND = [sys.executable, "-m", "watchkeeper", "replay"]
ROWS: list[dict[str, Any]] = [
    {
        "model": "old-1",
        "prompt": "two and two?",
        "response": "four",
        "usage": {"input": 10, "output": 2, "cache_read": 4, "reasoning": 1},
        "cost_usd": 0.001,
        "latency_ms": 300,
    },
    {"model": "old-1", "prompt": "again?", "response": "first"},
    {"model": "old-1", "prompt": "again?", "response": "second", "finish_reason": "length"},
    {"model": "old/2", "prompt": "half?", "response": "half \ud83d, \u2028 and \u202e " + "long " * 20},
    {
        "model": "old-1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "two and two?"}],
        "response": "4",
    },
]


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    base_url: str

    def post(self, body: Any, *, timeout: float = 10) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body)
        return httpx.post(f"{self.base_url}/chat/completions", content=content, timeout=timeout)

    def ask(self, prompt: str, model: str = "old-1", **more: Any) -> httpx.Response:
        return self.post({"model": model, "messages": [{"role": "user", "content": prompt}], **more})

    def said(self, prompt: str, model: str = "old-1") -> Any:
        return self.ask(prompt, model).json()["choices"][0]["message"]["content"]

    def models(self) -> list[str]:
        return [row["id"] for row in httpx.get(f"{self.base_url}/models").json()["data"]]


@contextmanager
def serving(*files: Path, options: tuple[str, ...] = ()) -> Iterator[Server]:
    command = [*COMMAND, *map(str, files), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), process.communicate()
        yield Server(process, line.split()[-1] + "/v1")
    finally:
        process.kill()
        process.communicate()


def written(path: Path, rows: list[dict[str, Any]], mode: str = "w") -> Path:
    with path.open(mode) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(written(tmp_path_factory.mktemp("replay") / "calls.jsonl", ROWS)) as running:
        yield running


# -- shapes ----------------------------------------------------------------------------------------


def test_an_answer_has_openais_shape_and_the_recorded_usage(server: Server) -> None:
    answer = server.ask("two and two?").json()
    assert isinstance(answer.pop("created"), int)
    assert answer.pop("id").startswith("chatcmpl-")
    assert answer == {
        "object": "chat.completion",
        "model": "old-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "four", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 1},
            "cost": 0.001,
        },
    }


def test_a_usage_that_was_not_recorded_is_not_made_up(server: Server) -> None:
    assert "usage" not in server.ask("again?").json()


def test_a_conversation_is_found_by_all_its_messages(server: Server) -> None:
    parts = [{"type": "text", "text": "two and "}, {"type": "text", "text": "two?"}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    answer = server.post({"model": "old-1", "messages": messages}).json()
    assert answer["choices"][0]["message"]["content"] == "4"


def test_repeated_recordings_are_answered_in_turn(tmp_path: Path) -> None:
    with serving(written(tmp_path / "calls.jsonl", ROWS)) as server:
        found = [server.ask("again?").json()["choices"][0] for _ in range(3)]
    assert [(c["message"]["content"], c["finish_reason"]) for c in found] == [
        ("first", "stop"),
        ("second", "length"),
        ("first", "stop"),
    ]


def test_half_a_surrogate_pair_is_served_as_it_was_recorded(server: Server) -> None:
    assert server.said("half?", "old/2") == ROWS[3]["response"]


def test_the_models_are_listed_and_found_by_name(server: Server) -> None:
    listed = httpx.get(f"{server.base_url}/models").json()
    assert listed["object"] == "list"
    assert [(row["id"], row["object"]) for row in listed["data"]] == [("old-1", "model"), ("old/2", "model")]
    assert httpx.get(f"{server.base_url}/models/old/2").json() == listed["data"][1]
    assert_refused(httpx.get(f"{server.base_url}/models/new-1"), 404, "model_not_found")


def assert_refused(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, None)
    assert error["message"]


@pytest.mark.parametrize("model", ["new-1", "", "\ud800"])
def test_an_unknown_model_is_openais_404(server: Server, model: str) -> None:
    assert_refused(server.ask("two and two?", model), 404, "model_not_found")


def test_a_prompt_that_was_not_recorded_is_a_404_and_never_made_up(server: Server) -> None:
    assert_refused(server.ask("three and three?"), 404, "recording_not_found")
    assert_refused(server.ask("half?"), 404, "recording_not_found")  # recorded, but of another model


@pytest.mark.parametrize(("method", "path"), [("POST", "/completions"), ("GET", "/nothing"), ("POST", "/\ud800")])
def test_an_unknown_path_is_openais_404(server: Server, method: str, path: str) -> None:
    quoted = quote(path, errors="surrogatepass")
    assert_refused(httpx.request(method, f"{server.base_url}{quoted}"), 404, "unknown_url")


@pytest.mark.parametrize(("method", "path"), [("GET", "/chat/completions"), ("POST", "/models"), ("PUT", "/models/a")])
def test_a_wrong_method_is_openais_405(server: Server, method: str, path: str) -> None:
    answer = httpx.request(method, f"{server.base_url}{path}")
    assert_refused(answer, 405, "method_not_allowed")
    assert ("POST" if path == "/chat/completions" else "GET") in answer.headers["allow"]


MESSAGES = [{"role": "user", "content": "two and two?"}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        [],
        {"messages": MESSAGES},
        {"model": "old-1"},
        {"model": 5, "messages": MESSAGES},
        {"model": "old-1", "messages": []},
        {"model": "old-1", "messages": "two and two?"},
        {"model": "old-1", "messages": {"role": "user"}},
        {"model": "old-1", "messages": ["two and two?"]},
    ],
)
def test_a_body_of_another_shape_is_openais_400(server: Server, body: Any) -> None:
    assert_refused(server.post(body), 400, "invalid_request")


@pytest.mark.parametrize("options", [None, [], "yes", {}])
def test_a_stream_is_served_with_its_usage_only_where_it_was_asked_for(server: Server, options: Any) -> None:
    chunks = events(server.ask("half?", "old/2", stream=True, stream_options=options))
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == ROWS[3]["response"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert len(chunks) > 3

    *_, last = events(server.ask("two and two?", stream=True, stream_options={"include_usage": True}))
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 12)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    *data, done = [line.removeprefix("data: ") for line in response.text.split("\n") if line]
    assert done == "[DONE]"
    return [json.loads(each) for each in data]


# -- files that grow -----------------------------------------------------------------------------------


def test_a_model_appears_while_serving_and_half_a_line_does_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path / "calls.jsonl", ROWS)
    line = json.dumps({"model": "new-1", "prompt": "two and two?", "response": "5"})
    with serving(path) as server:
        assert server.said("again?") == "first"
        for half in (line[:20], line[20:-1]):
            with path.open("a") as file:
                file.write(half)
            assert server.models() == ["old-1", "old/2"]
            assert server.said("two and two?") == "four"
        with path.open("a") as file:
            file.write(line[-1] + "\n")
        assert server.models() == ["old-1", "old/2", "new-1"]
        assert server.said("two and two?", "new-1") == "5"
        assert server.said("again?") == "second"  # the turn goes on over the new reading


def test_a_file_that_goes_away_leaves_its_answers(tmp_path: Path) -> None:
    path = written(tmp_path / "calls.jsonl", ROWS)
    with serving(path) as server:
        path.unlink()
        assert server.said("two and two?") == "four"
        written(path, [{"model": "new-1", "prompt": "back?", "response": "yes"}])
        assert server.models() == ["new-1"]


# -- latency and faults ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("latency", "least"), [("150", 0.15), ("recorded", 0.3)])
def test_an_answer_takes_as_long_as_it_should(tmp_path: Path, latency: str, least: float) -> None:
    with serving(written(tmp_path / "calls.jsonl", ROWS), options=("--latency", latency)) as server:
        began = time.perf_counter()
        assert server.said("two and two?") == "four"
        assert least <= time.perf_counter() - began < least + 5


def drawn(path: Path, seed: int, count: int) -> list[int]:
    faults = ("--fault", "429=0.2", "--fault", "500=0.1", "--seed", str(seed))
    body = json.dumps({"model": "old-1", "messages": MESSAGES})
    with (
        serving(path, options=faults) as server,
        httpx.Client(limits=httpx.Limits(max_keepalive_connections=0)) as client,
    ):
        answers = [client.post(f"{server.base_url}/chat/completions", content=body) for _ in range(count)]
    for answer in answers:
        if answer.status_code != 200:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.headers.get("retry-after") == ("1" if answer.status_code == 429 else None)
    return [answer.status_code for answer in answers]


def test_faults_come_at_their_rate_and_again_with_the_same_seed(tmp_path: Path) -> None:
    path = written(tmp_path / "calls.jsonl", ROWS)
    first, again, other = drawn(path, 7, 400), drawn(path, 7, 100), drawn(path, 8, 100)
    assert first[:100] == again
    assert other != again
    # Four standard deviations of a binomial on either side; the seed makes it the same every time.
    assert 48 <= first.count(429) <= 112
    assert 16 <= first.count(500) <= 64
    assert set(first) == {200, 429, 500}


def test_a_hanging_request_hangs_and_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with serving(written(tmp_path / "calls.jsonl", ROWS), options=("--fault", "hang=1")) as server:
        with pytest.raises(httpx.ReadTimeout):
            server.post({"model": "old-1", "messages": MESSAGES}, timeout=0.5)
        ended = threading.Event()

        def hang() -> None:
            with pytest.raises(httpx.HTTPError):
                server.post({"model": "old-1", "messages": MESSAGES}, timeout=30)
            ended.set()

        threads = [threading.Thread(target=hang, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert server.models() == ["old-1", "old/2"]  # others are served meanwhile
        began = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        _, err = server.process.communicate(timeout=10)
        assert time.perf_counter() - began < 2
        assert server.process.returncode == 0
        assert "Traceback" not in err
        for thread in threads:
            thread.join(timeout=5)
        assert ended.is_set()


# -- its end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["replay", "serve"])
def test_a_signal_ends_it_cleanly(tmp_path: Path, command: str, number: signal.Signals) -> None:
    (tmp_path / "watchkeeper.toml").write_text("")
    file = written(tmp_path / "calls.jsonl", ROWS)
    process = subprocess.Popen(
        [*COMMAND[:-1], command, *([str(file)] if command == "replay" else []), "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on ")
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")


# -- refusals of the command ------------------------------------------------------------------------------


def refused(*args: str) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=30)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


GOOD: Mapping[str, Any] = {"model": "m", "prompt": "p", "response": "r"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", ":2: not JSON"),
        ("[]", ":2: a recorded call is a JSON object"),
        (json.dumps({**GOOD, "response": None}), ":2: response: must be a text"),
        (json.dumps({"model": "m", "response": "r"}), ":2: prompt: needs a prompt"),
        (json.dumps({**GOOD, "latency_ms": -1}), ":2: latency_ms: must be a number >= 0"),
        (json.dumps({**GOOD, "usage": {"input": "9", "output": 1}}), ":2: usage: prompt_tokens must be a whole"),
        (json.dumps({**GOOD, "usage": {"prompt_tokens": {}}}), ":2: usage: prompt_tokens must be a whole"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    code, err = refused(str(path), "--port", "0")
    assert code == 2
    assert f"{path}{says}" in err


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    code, err = refused(str(tmp_path / "none.jsonl"))
    assert code == 2
    assert "none.jsonl: no such file" in err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--latency", "slow"),
        ("--latency", "-1"),
        ("--fault", "429"),
        ("--fault", "200=0.1"),
        ("--fault", "²=0.1"),
        ("--fault", "429=2"),
        ("--fault", "hang=nan"),
    ],
)
def test_an_option_that_cannot_be_read_is_one_line(tmp_path: Path, option: str, value: str) -> None:
    code, err = refused(str(written(tmp_path / "calls.jsonl", ROWS)), option, value)
    assert code == 2
    assert f"{option} {value}" in err


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = refused(str(written(tmp_path / "calls.jsonl", ROWS)), "--port", str(port))
    assert code == 4
    assert f"cannot listen on 127.0.0.1:{port}" in err
