"""A real Phoenix server: spans in by OTLP, pulled by us, scores seen again through Phoenix's own API."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode

from tests.e2e.conftest import Project
from tests.e2e.test_instrumented_clients import started
from tests.e2e.test_thread import free_port

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ROOT / ".venv-phoenix" / "bin" / "phoenix"
PROJECT = "shop"
PLAIN = 380
"""Requests of three spans beside the others: with theirs more than two pages of 500 spans."""

pytestmark = [
    pytest.mark.skipif(not COMMAND.exists(), reason="no Phoenix server: make .venv-phoenix/.ready installs it"),
    pytest.mark.timeout(300),
]

Record = dict[str, Any]


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Phoenix server of this module's own; its address."""
    home, port = tmp_path_factory.mktemp("phoenix"), free_port()
    env = {
        **os.environ,
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(home),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    url = f"http://127.0.0.1:{port}"
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([COMMAND, "serve"], env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: server.poll() is not None or _answers(f"{url}/healthz"), seconds=120)
        assert server.poll() is None, (home / "log").read_text()[-2000:]
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def until(condition: Callable[[], Any], *, seconds: float = 60) -> Any:
    """The first true answer; asked again and again."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


class Application:
    """Sends OpenInference spans by the real exporter, to every address at once."""

    def __init__(self, *urls: str) -> None:
        resource = {"openinference.project.name": PROJECT, "service.name": "support"}
        self.provider = TracerProvider(resource=Resource.create(resource))
        for url in urls:
            exporter = OTLPSpanExporter(f"{url}/v1/traces")
            self.provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=20_000))
        self.tracer = self.provider.get_tracer("application")
        self.now_ns = time.time_ns() // 10**9 * 10**9  # whole milliseconds: Phoenix keeps microseconds
        self.spans = 0

    def span(
        self, name: str, kind: str, start_ms: int, end_ms: int, *, parent: Span | None = None, **more: Any
    ) -> Span:
        """One ended span; its times as milliseconds before now."""
        attributes = {"openinference.span.kind": kind, **more.pop("attributes", {})}
        context = trace.set_span_in_context(parent) if parent is not None else trace.Context()
        start = self.now_ns - start_ms * 10**6
        span = self.tracer.start_span(name, context=context, attributes=attributes, start_time=start)
        if "error" in more:
            span.record_exception(more["error"], timestamp=start)
            span.set_status(Status(StatusCode.ERROR, "it failed"))
        span.end(self.now_ns - end_ms * 10**6)
        self.spans += 1
        assert isinstance(span, Span)
        return span

    def request(self, question: str, *, ago_ms: int) -> Span:
        """A chain with a search, a tool and an inference."""
        metadata = {"segment": "free", "job_id": "ticket-991", "filters": [{"field": "a"}, {"field": "b"}]}
        root = self.span(
            "answer",
            "CHAIN",
            ago_ms,
            ago_ms - 900,
            attributes={
                "watchkeeper.route": "support.answer",
                "session.id": "s-1",
                "metadata": json.dumps(metadata),
                "input.value": question,
                "output.value": "In two days.",
                "tag.tags": ["a", "b"],
            },
        )
        self.span(
            "search",
            "RETRIEVER",
            ago_ms - 10,
            ago_ms - 100,
            parent=root,
            attributes={
                "input.value": question,
                "retrieval.documents.0.document.id": "doc-17",
                "retrieval.documents.0.document.score": 0.82,
                "retrieval.documents.0.document.content": "Orders take two days.",
                "retrieval.documents.1.document.id": "doc-4",
                "retrieval.documents.1.document.score": 0.5,
            },
        )
        self.span(
            "lookup_order",
            "TOOL",
            ago_ms - 110,
            ago_ms - 200,
            parent=root,
            attributes={
                "tool.name": "lookup_order",
                "tool.parameters": json.dumps({"id": 17, "with": [{"part": "items"}], "deep": {"er": 1.5}}),
                "output.value": json.dumps({"state": "sent"}),
                "output.mime_type": "application/json",
            },
        )
        self.inference(root, ago_ms - 210)
        return root

    def inference(self, parent: Span, ago_ms: int, **more: Any) -> Span:
        """One call of a model, 600 ms long."""
        return self.span(
            "ChatCompletion",
            "LLM",
            ago_ms,
            ago_ms - 600,
            parent=parent,
            attributes={
                "llm.provider": "openai",
                "llm.model_name": "gpt-5-2026-08-01",
                "llm.invocation_parameters": json.dumps({"temperature": 0.2, "model": "gpt-5"}),
                "llm.input_messages.0.message.role": "system",
                "llm.input_messages.0.message.content": "Be brief.",
                "llm.input_messages.1.message.role": "user",
                "llm.input_messages.1.message.content": "When does it come?",
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.content": "In two days.",
                "llm.token_count.prompt": 912,
                "llm.token_count.prompt_details.cache_read": 512,
                "llm.token_count.completion": 210,
                "llm.token_count.completion_details.reasoning": 100,
                "llm.token_count.total": 1122,
            },
            **more,
        )

    def plain(self, place: int) -> None:
        """One of many: a chain with a search and an inference."""
        ago = 60_000 + 1_000 * place
        root = self.span("many", "CHAIN", ago, ago - 700, attributes={"watchkeeper.route": "many"})
        self.span("search", "RETRIEVER", ago - 1, ago - 20, parent=root)
        self.inference(root, ago - 30)

    def flush(self) -> None:
        assert self.provider.force_flush(60_000)


@dataclass
class Shop:
    """The project that pulls, and what it was sent."""

    project: Project
    phoenix: str
    application: Application

    def arrived(self) -> None:
        """Return when Phoenix has stored everything that was sent."""
        self.application.flush()
        until(lambda: len(self.listed("spans")) >= self.application.spans)

    def listed(self, what: str, **params: Any) -> list[Record]:
        """Everything of one kind, by Phoenix's own API."""
        found: list[Record] = []
        cursor = None
        while True:
            answer = httpx.get(
                f"{self.phoenix}/v1/projects/{PROJECT}/{what}",
                params={**params, "limit": 1000, **({"cursor": cursor} if cursor else {})},
                timeout=30,
            )
            if answer.status_code == 404:
                return []
            found += answer.raise_for_status().json()["data"]
            cursor = answer.json()["next_cursor"]
            if cursor is None:
                return found

    def pull(self, *options: str) -> Record:
        done = self.project.run("records", "pull", "--json", *options)
        assert done.code == 0, done.err
        [source] = done.json["sources"]
        return dict(source)

    def records(self) -> dict[str, Record]:
        """Every stored request by its trace."""
        return exported(self.project)

    def show(self, span: Span) -> Record:
        return dict(self.project.run("records", "show", trace_id(span), "--json").json)


def exported(project: Project) -> dict[str, Record]:
    done = project.run("records", "export", "--output", "all.jsonl")
    assert done.code == 0, done.err
    return {r["trace_id"]: r for r in map(json.loads, (project.root / "all.jsonl").read_text().splitlines())}


def trace_id(span: Span) -> str:
    return f"{span.get_span_context().trace_id:032x}"


def span_id(span: Span) -> str:
    return f"{span.get_span_context().span_id:016x}"


@pytest.fixture
def shop(phoenix: str, project: Project) -> Iterator[Shop]:
    (project.root / "watchkeeper.toml").write_text(
        f'[sources.desk]\nkind = "phoenix"\nbase_url = "{phoenix}"\nproject = "{PROJECT}"\n'
        'settle_seconds = 0\nfirst_pull = "40m"\n'
    )
    httpx.delete(f"{phoenix}/v1/projects/{PROJECT}")
    shop = Shop(project, phoenix, Application(phoenix))
    yield shop
    shop.application.provider.shutdown()


def test_what_is_pulled_is_what_a_direct_sender_gives_and_pulling_again_changes_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    direct = Project(tmp_path / "direct")
    direct.root.mkdir()
    direct.config("http://127.0.0.1:9/v1")
    with started(direct.root, "serve") as url:
        shop.application = both = Application(shop.phoenix, url)
        both.request("When does it come?", ago_ms=5_000)
        both.inference(both.span("failing", "CHAIN", 4_000, 3_000), 3_900, error=TimeoutError("slow"))
        for place in range(PLAIN):
            both.plain(place)
        shop.arrived()

    pulled = shop.pull()

    assert (pulled["requests"], pulled["spans"], pulled["left_out"]) == (PLAIN + 2, both.spans, {})
    assert pulled["pages"] >= 3
    found, sent = shop.records(), exported(direct)
    assert {r["attributes"].pop("pulled_from") for r in found.values()} == {"desk"}
    assert found == sent
    assert len(sent) == PLAIN + 2
    for record in found.values():
        record["attributes"]["pulled_from"] = "desk"
    again = shop.pull()
    assert again["spans"] > 0  # the overlap was read
    assert shop.records() == found


def test_a_child_that_arrives_late_joins_its_request(shop: Shop) -> None:
    root = shop.application.request("When does it come?", ago_ms=5_000)
    shop.arrived()
    shop.pull()
    assert len(shop.show(root)["calls"]) == 1

    late = shop.application.inference(root, 4_000)
    shop.arrived()
    shop.pull()

    calls = shop.show(root)["calls"]
    assert len(calls) == 2
    assert span_id(late) in {call["span_id"] for call in calls}
    assert len(shop.records()) == 1


def test_a_score_pushed_twice_is_one_annotation_and_never_feedback_while_a_persons_word_is(shop: Shop) -> None:
    root = shop.application.request("When does it come?", ago_ms=5_000)
    shop.arrived()
    said = {
        "span_id": span_id(root),
        "name": "thumb",
        "annotator_kind": "HUMAN",
        "result": {"score": 0.0, "label": "down", "explanation": "too long"},
    }
    for each in (said, {**said, "name": "tone", "annotator_kind": "LLM"}):
        httpx.post(f"{shop.phoenix}/v1/span_annotations?sync=true", json={"data": [each]}).raise_for_status()
    shop.pull()
    [feedback] = shop.show(root)["feedback"]
    assert (feedback["kind"], feedback["value"], feedback["comment"]) == ("thumb", 0.0, "too long")

    score = {"trace_id": trace_id(root), "name": "tone", "value": 0.25, "label": "curt", "explanation": "no greeting"}
    lines = [{**score, "value": 0.75}, {**score, "name": "review", "value": 1, "by": "human"}]
    (shop.project.root / "first.jsonl").write_text(json.dumps(score))
    (shop.project.root / "scores.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for file in ("first.jsonl", "scores.jsonl", "scores.jsonl"):
        done = shop.project.run("records", "push", "--to", "desk", file)
        assert done.code == 0, done.err

    there = shop.listed("span_annotations", span_ids=span_id(root))
    ours = {a["name"]: (a["annotator_kind"], a["result"]) for a in there if a["identifier"]}
    assert len(there) == 4  # somebody else's "tone" is still theirs
    assert ours == {
        "tone": ("LLM", {"score": 0.75, "label": "curt", "explanation": "no greeting"}),
        "review": ("HUMAN", {"score": 1.0, "label": "curt", "explanation": "no greeting"}),
    }
    shop.pull()
    assert shop.show(root)["feedback"] == [feedback]


def test_a_project_that_does_not_exist_is_one_line_that_says_where_to_look(shop: Shop) -> None:
    config = shop.project.root / "watchkeeper.toml"
    config.write_text(config.read_text().replace(f'"{PROJECT}"', '"nowhere"'))
    done = shop.project.run("records", "pull")
    assert done.code == 2
    [line] = done.err.splitlines()
    assert "Project with name nowhere not found" in line
