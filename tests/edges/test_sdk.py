"""The SDK in real processes against a real server that dies, hangs, refuses and comes back."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STAND_IN = Path(__file__).with_name("test_sdk_server.py")
UNUSED = "http://127.0.0.1:9"  # discard: nothing listens there


class Server:
    """The stand-in, started and killed like a real one; what it acknowledged is in its file."""

    def __init__(self, file: Path) -> None:
        self.file, self.port = file, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(STAND_IN), "--port", str(self.port), "--file", str(self.file)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def mode(self, mode: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/mode", mode.encode()), timeout=10).close()

    def read(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def names(self) -> list[str]:
        return sorted(span["name"] for span in self.read("all")["spans"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "taken.jsonl")
    yield server
    server.kill()


@contextmanager
def application(code: str, spool: Path, endpoint: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "WATCHKEEPER_SPOOL": str(spool), "WATCHKEEPER_ENDPOINT": endpoint}
    program = "import sys, os, time, watchkeeper\n" + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, "-c", program, *args],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(code: str, spool: Path, endpoint: str, *args: str) -> str:
    """What the application printed; its exit must be clean."""
    with application(code, spool, endpoint, *args) as process:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "Traceback" not in err, err
    return out


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def left(spool: Path) -> list[Path]:
    return [p for p in spool.rglob("*") if p.is_file()]


ONE = """
    with watchkeeper.request(route=sys.argv[1]) as request:
        with request.call("gpt-5", provider="openai", messages=[{"role": "user", "content": "hi"}]) as call:
            call.finish("hello", usage={"input": 3, "output": 1})
"""


def test_a_request_and_its_steps_arrive_as_one_trace_with_the_agreed_names(server: Server, tmp_path: Path) -> None:
    run(
        """
        watchkeeper.init(service="desk", environment="staging", release="7")
        with watchkeeper.request(route="support.answer", segment="free", session_id="s-1", job_id="j-1",
                prompt_id="answer", prompt_version=12, experiment="tone", variant="b", input="where?",
                tier=3) as request:
            request.retrieval(documents=[{"id": "doc-17", "score": 0.82}], query="where")
            with request.call(model="gpt-5", provider="openai", messages=[{"role": "user", "content": "where?"}],
                    params={"temperature": 0.2, "max_tokens": 800}) as call:
                call.finish(response="there", model_served="gpt-5-1", finish_reason="stop", system_fingerprint="fp",
                    usage={"input": 912, "output": 210, "cache_read": 512, "cache_write": 0, "reasoning": 8},
                    cost_usd=0.01)
            with request.tool_call(name="lookup", arguments={"id": 1}) as tool:
                tool.finish(result={"ok": True})
            request.respond("there")
        watchkeeper.feedback(request.trace_id, thumb=-1, comment="no")
        watchkeeper.resolve("j-1", resolved=False)
        """,
        tmp_path / "spool",
        server.url,
    )
    got = server.read("all")
    spans = {span["attributes"]["watchkeeper.kind"]: span for span in got["spans"]}
    request, call = spans["request"], spans["call"]
    assert {span["trace_id"] for span in spans.values()} == {request["trace_id"]}
    assert {spans[kind]["parent"] for kind in ("call", "retrieval", "tool_call")} == {request["span_id"]}
    assert request["parent"] == ""
    assert request["attributes"] == {
        "watchkeeper.kind": "request",
        "watchkeeper.source": "production",
        "watchkeeper.route": "support.answer",
        "watchkeeper.segment": "free",
        "session.id": "s-1",
        "watchkeeper.job.id": "j-1",
        "watchkeeper.prompt.id": "answer",
        "watchkeeper.prompt.version": "12",
        "watchkeeper.variant.experiment": "tone",
        "watchkeeper.variant.name": "b",
        "watchkeeper.input": "where?",
        "watchkeeper.response": "there",
        "watchkeeper.attribute.tier": 3,
    }
    assert call["attributes"] == {
        "watchkeeper.kind": "call",
        "watchkeeper.route": "support.answer",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.response.model": "gpt-5-1",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 800,
        "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "where?"}]}]',
        "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "there"}], '
        '"finish_reason": "stop"}]',
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 912,
        "gen_ai.usage.output_tokens": 210,
        "gen_ai.usage.cache_read.input_tokens": 512,
        "gen_ai.usage.cache_write.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 8,
        "openai.response.system_fingerprint": "fp",
        "watchkeeper.cost_usd": 0.01,
    }
    assert json.loads(spans["retrieval"]["attributes"]["gen_ai.retrieval.documents"]) == [
        {"id": "doc-17", "score": 0.82}
    ]
    tool = spans["tool_call"]["attributes"]
    assert (tool["gen_ai.tool.name"], tool["gen_ai.tool.call.arguments"], tool["gen_ai.tool.call.result"]) == (
        "lookup",
        '{"id": 1}',
        '{"ok": true}',
    )
    resource = request["resource"]
    assert [resource[f] for f in ("service.name", "service.version", "deployment.environment.name")] == [
        "desk",
        "7",
        "staging",
    ]
    thumb, resolution = got["opinions"]
    assert thumb == {
        "path": "/api/feedback",
        "trace_id": request["trace_id"],
        "kind": "thumb",
        "value": -1,
        "comment": "no",
    }
    assert (resolution["job_id"], resolution["resolved"]) == ("j-1", False)


def test_an_exception_passes_untouched_and_is_recorded_by_its_type(server: Server, tmp_path: Path) -> None:
    out = run(
        """
        class Mine(Exception): pass
        raised = Mine("secret words")
        try:
            with watchkeeper.request(route="r") as request:
                with request.call("m"):
                    raise raised
        except Mine as seen:
            print(seen is raised)
        with watchkeeper.request(route="quiet") as request:
            request.error("timeout")
        """,
        tmp_path / "spool",
        server.url,
    )
    assert out == "True\n"
    spans = {span["name"]: span for span in server.read("all")["spans"]}
    assert [spans[n]["attributes"]["error.type"] for n in ("request r", "chat m", "request quiet")] == [
        "Mine",
        "Mine",
        "timeout",
    ]
    assert all(span["error"] for span in spans.values())
    assert "secret words" not in json.dumps(list(spans.values()))


def test_threads_and_tasks_keep_their_requests_apart_and_a_nested_one_is_a_trace_of_its_own(
    server: Server, tmp_path: Path
) -> None:
    run(
        """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        async def one(n):
            async with watchkeeper.request(route=f"task-{n}") as request:
                await asyncio.sleep(0.01)
                async with request.call(f"task-{n}") as call:
                    async def pieces():
                        for piece in ("", "a", "b"):
                            await asyncio.sleep(0.01)
                            yield piece
                    assert [p async for p in call.stream(pieces())] == ["", "a", "b"]

        async def all():
            await asyncio.gather(*[one(n) for n in range(20)])
        asyncio.run(all())

        def work(n):
            with watchkeeper.request(route=f"thread-{n}") as request:
                with request.call(f"thread-{n}") as call:
                    call.finish("x")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(20)))
            with watchkeeper.request(route="outer") as outer:
                pool.submit(lambda: outer.call("outer").finish("x")).result()
                with watchkeeper.request(route="inner") as inner:
                    inner.call("inner").finish("x")
                outer.call("outer").finish("x")
        """,
        tmp_path / "spool",
        server.url,
    )
    spans = server.read("all")["spans"]
    requests = {span["trace_id"]: span for span in spans if span["name"].startswith("request")}
    calls = [span for span in spans if span["name"].startswith("chat")]
    assert (len(requests), len(calls)) == (42, 43)
    for call in calls:
        request = requests[call["trace_id"]]
        assert call["name"].split()[1] == request["name"].split()[1]
        assert call["parent"] == request["span_id"]
    by_name = {span["name"]: span for span in requests.values()}
    assert by_name["request inner"]["links"] == [by_name["request outer"]["trace_id"]]
    task = next(call for call in calls if call["name"] == "chat task-0")["attributes"]
    assert task["gen_ai.response.time_to_first_chunk"] >= 0.02
    assert '"ab"' in task["gen_ai.output.messages"]


def test_twenty_thousand_calls_in_a_tight_loop_all_arrive_once(server: Server, tmp_path: Path) -> None:
    out = run(
        """
        for _ in range(20_000):
            with watchkeeper.request(route="r"):
                pass
        print(watchkeeper.flush(30), watchkeeper.status()["dropped"])
        """,
        tmp_path / "spool",
        server.url,
    )
    assert out == "True 0\n"
    count = server.read("count")
    assert (count["spans"], count["double"]) == (20_000, 0)
    assert left(tmp_path / "spool") == []


@pytest.mark.parametrize("state", ["dead", "hang"])
def test_without_an_answer_the_application_neither_waits_nor_fails_and_the_next_process_sends(
    server: Server, tmp_path: Path, state: str
) -> None:
    spool = tmp_path / "spool"
    if state == "hang":
        server.mode("hang")
    started = time.monotonic()
    out = run(
        """
        taken = []
        for n in range(3000):
            begun = time.perf_counter()
            with watchkeeper.request(route="r", input="x" * 500):
                pass
            taken.append(time.perf_counter() - begun)
        print(sorted(taken)[len(taken) * 99 // 100])
        print(time.monotonic(), flush=True)
        """,
        spool,
        server.url if state == "hang" else UNUSED,
    )
    p99, ended = map(float, out.split())
    assert time.monotonic() - ended < 2.5  # at most 2 s to exit, and the interpreter's own end
    assert time.monotonic() - started < 20
    assert p99 < 0.05
    if state == "hang":
        server.mode("ok")
    run("watchkeeper.init(); print(watchkeeper.flush(20))", spool, server.url)
    assert server.read("count")["spans"] == 3000
    assert left(spool) == []


def test_a_killed_process_leaves_its_spool_to_the_next(server: Server, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    code = """
        for n in range(500):
            with watchkeeper.request(route="before"):
                pass
        watchkeeper.flush(0.5)
        print("ready", flush=True)
        time.sleep(60)
    """
    with application(code, spool, UNUSED) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    [segment] = spool.rglob("*.spool")
    with segment.open("ab") as file:  # the record that was being written when the machine stopped
        file.write(b"WKR1\x01\x00\x00\x00\x05\x00\x00\xff\xff\x00\x00\x00\x00torn")
    out = run(ONE + "    print(watchkeeper.flush(20), watchkeeper.status()['adopted'])", spool, server.url, "after")
    assert out == "True 1\n"
    count = server.read("count")
    assert (count["spans"], count["double"]) == (502, 0)
    assert left(spool) == []


def test_a_living_process_keeps_its_folder(server: Server, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    code = ONE + "    watchkeeper.flush(0.5); print('ready', flush=True); sys.stdin.read()"
    with application(code, spool, UNUSED, "living") as living:
        assert living.stdout is not None
        assert living.stdout.readline() == "ready\n"
        run(ONE + "    watchkeeper.flush(20)", spool, server.url, "other")
        assert server.names() == ["chat gpt-5", "request other"]
        assert len(list(spool.rglob("*.spool"))) == 1


def test_a_server_that_restarts_again_and_again_gets_everything(server: Server, tmp_path: Path) -> None:
    code = """
        for n in range(1500):
            with watchkeeper.request(route="r"):
                pass
            time.sleep(0.001)
        print(watchkeeper.flush(20))
    """
    with application(code, tmp_path / "spool", server.url) as process:
        for n in range(3):
            wait_until(lambda n=n: server.read("count")["spans"] > 100 * (n + 1))  # type: ignore[misc]
            server.kill()
            server.start()
        out, err = process.communicate(timeout=40)
    assert out == "True\n", err
    assert server.read("count")["spans"] == 1500
    assert "Traceback" not in err


def test_a_busy_server_is_asked_again_when_it_said_and_not_before(server: Server, tmp_path: Path) -> None:
    server.mode("503 retry-after=1 times=1")
    assert run(ONE + "    print(watchkeeper.flush(20))", tmp_path / "spool", server.url, "r") == "True\n"
    (first, refused), (second, taken) = server.read("count")["answers"]
    assert (refused, taken) == (503, 200)
    assert 1.0 <= second - first < 2.5


def test_a_refused_batch_is_set_aside_and_the_next_one_goes_through(server: Server, tmp_path: Path) -> None:
    server.mode("400 times=1")
    spool = tmp_path / "spool"
    out = run(
        ONE + "    watchkeeper.flush(20); watchkeeper.resolve('j'); print(watchkeeper.flush(20), watchkeeper.status())",
        spool,
        server.url,
        "r",
    )
    assert out.startswith("True")
    assert "'refused': 2" in out
    assert len(server.read("all")["opinions"]) == 1
    assert len(list((spool / "dead").glob("*.spool"))) == 1


def test_the_spool_is_bounded_and_the_oldest_goes_first(server: Server, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    out = run(
        """
        import random
        watchkeeper.init(spool_limit=2_000_000)
        for n in range(3000):
            with watchkeeper.request(route=f"r{n}", input=random.randbytes(1000).hex()):
                pass
        watchkeeper.flush(0.3)
        status = watchkeeper.status()
        print(status["dropped"], status["spool_bytes"])
        """,
        spool,
        UNUSED,
    )
    dropped, size = map(int, out.split())
    assert 0 < dropped < 3000
    assert size <= 2_000_000
    run("watchkeeper.init(); watchkeeper.flush(20)", spool, server.url)
    names = server.names()
    assert len(names) == 3000 - dropped
    assert "request r2999" in names
    assert "request r0" not in names


def test_a_forked_child_sends_its_own_and_not_its_parents(server: Server, tmp_path: Path) -> None:
    run(
        """
        import warnings; warnings.simplefilter("ignore")
        import multiprocessing
        def child(n):
            with watchkeeper.request(route=f"child-{n}"):
                pass
        with watchkeeper.request(route="parent"):
            pass
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=child, args=(n,)) for n in range(4)]
        for process in children: process.start()
        for process in children: process.join()
        with watchkeeper.request(route="parent"):
            pass
        watchkeeper.flush(20)
        """,
        tmp_path / "spool",
        server.url,
    )
    assert server.names() == [*(f"request child-{n}" for n in range(4)), "request parent", "request parent"]
    assert server.read("count")["double"] == 0


def test_an_applications_own_provider_keeps_its_spans_and_shares_them(server: Server, tmp_path: Path) -> None:
    out = run(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        provider, own = TracerProvider(), InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(own))
        trace.set_tracer_provider(provider)
        watchkeeper.init(service="desk")
        with watchkeeper.request(route="r"):
            with trace.get_tracer("theirs").start_as_current_span("theirs"):
                pass
        print(sorted(s.name for s in own.get_finished_spans()))
        """,
        tmp_path / "spool",
        server.url,
    )
    assert out == "['request r', 'theirs']\n"
    assert server.names() == ["request r", "theirs"]
    assert {span["resource"]["service.name"] for span in server.read("all")["spans"]} == {"desk"}


def test_nonsense_never_reaches_the_host(server: Server, tmp_path: Path) -> None:
    out = run(
        r"""
        watchkeeper.init(endpoint="ftp://nowhere", spool=42, nonsense=1, service=object())
        class Broken:
            def __getattr__(self, name): raise RuntimeError("broken")
            def __str__(self): raise RuntimeError("broken")
            def __repr__(self): raise RuntimeError("broken")
        bad = [object(), Broken(), float("nan"), 2**70, b"\xff", "\ud800", {1: Broken()}, [Broken()], (), True, int]
        circle = []; circle.append(circle)
        for value in [*bad, circle, None]:
            with watchkeeper.request(route=value, segment=value, job_id=value, input=value, own=value) as request:
                request.respond(value); request.error(value)
                request.retrieval(documents=value, query=value); request.retrieval(documents=[value])
                request.tool_call(name=value, arguments=value, result=value)
                with request.call(value, provider=value, messages=value, params=value, other=value) as call:
                    call.observe(value)
                    call.finish(value, usage=value, finish_reason=value, cost_usd=value, model_served=value, other=1)
                params = {"stop": value, value if value.__hash__ else 1: value}
                with request.call(messages=[value], params=params) as call:
                    call.finish(usage={"input": value, "output": -1})
                    assert list(call.stream([value])) == [value] or value != value
            watchkeeper.feedback(value, value, value); watchkeeper.resolve(value, value); watchkeeper.flush(0)
        request.respond("late"); call.finish("late"); request.tool_call(name="late")
        with watchkeeper.request(route="good"):
            pass
        print(watchkeeper.flush(20), watchkeeper.status()["dropped"])
        """,
        tmp_path / "spool",
        server.url,
    )
    assert out == "True 0\n"
    names = server.names()
    assert "request good" in names
    assert "execute_tool late" in names
    assert sum(name.startswith("request") for name in names) == 14


def test_a_spool_that_cannot_be_written_is_replaced_by_a_temporary_one(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
    assert run(environment + textwrap.dedent(ONE) + "print(watchkeeper.flush(20))", tmp_path / "file", server.url, "r")
    assert server.names() == ["chat gpt-5", "request r"]


def test_the_import_is_quick_and_leaves_opentelemetry_for_the_first_use() -> None:
    code = "import sys, time; t = time.perf_counter(); import watchkeeper; print(time.perf_counter() - t); "
    code += "print([m for m in ('opentelemetry', 'google.protobuf', 'httpx') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert float(out[0]) < 0.3
    assert out[1] == "[]"


def test_decorators_generators_and_a_context_closed_elsewhere(server: Server, tmp_path: Path) -> None:
    out = run(
        """
        import asyncio

        @watchkeeper.request(route="plain")
        def plain(): return watchkeeper.current_request() is not None

        @watchkeeper.request(route="pieces")
        def pieces():
            watchkeeper.current_request().call("inside").finish("x")
            yield 1

        @watchkeeper.request(route="task")
        async def task(): return 2

        async def open_for_long():
            with watchkeeper.request(route="elsewhere"):
                yield 1
                yield 2

        async def all():
            assert await task() == 2
            it = open_for_long()
            await it.__anext__()
            await asyncio.create_task(it.aclose())

        assert plain() and list(pieces()) == [1] and watchkeeper.current_request() is None
        asyncio.run(all())
        twice = watchkeeper.request(route="twice")
        with twice: pass
        with twice: pass
        print(watchkeeper.flush(20))
        """,
        tmp_path / "spool",
        server.url,
    )
    assert out == "True\n"
    requests = ["elsewhere", "pieces", "plain", "task", "twice", "twice"]
    assert server.names() == ["chat inside", *(f"request {name}" for name in requests)]


def test_killed_again_and_again_what_was_a_quarter_second_old_is_never_lost(server: Server, tmp_path: Path) -> None:
    code = """
        n = 0
        while True:
            with watchkeeper.request(route=f"{sys.argv[1]}-{n}"):
                pass
            print(f"{n} {time.monotonic()}", flush=True)
            n += 1
            time.sleep(0.0005)
    """
    expected: set[str] = set()
    for life in range(4):
        with application(code, tmp_path / "spool", server.url, str(life)) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(0.5 + 0.13 * life)
            killed = time.monotonic()
            process.kill()
            lines = [first, *process.stdout.read().splitlines()[:-1]]
        for number, at in (line.split() for line in lines):
            if float(at) < killed - 0.25:
                expected.add(f"request {life}-{number}")
    run("watchkeeper.init(); assert watchkeeper.flush(20)", tmp_path / "spool", server.url)
    assert len(expected) > 100
    assert expected - set(server.names()) == set()
    assert left(tmp_path / "spool") == []
