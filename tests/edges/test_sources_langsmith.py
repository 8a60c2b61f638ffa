"""LangSmith as a source, over real HTTP against a stand-in that speaks its API."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.edges.source_stand_ins.langsmith import KEY, PROJECT, PROJECT_ID, TENANT, LangSmithStandIn
from tests.edges.source_stand_ins.pulling import DAY, SECRET, pulled
from tests.edges.source_stand_ins.pulling import StillClock as Clock
from tests.edges.source_stand_ins.server import serving
from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import NotFound
from watchkeeper.observability.redact import Policy, user_hash
from watchkeeper.observability.request import Call, Feedback, Prompt, Request, Retrieval, Tokens, ToolCall
from watchkeeper.sources.http import Gone
from watchkeeper.sources.interface import Remote, Score, SourceConfig, Window, span_id_of, trace_id_of
from watchkeeper.sources.langsmith import LangSmith


def run_id(n: int) -> str:
    return f"0193a1b2-0000-7000-8000-00000000000{n}"


ROOT = run_id(0)
TRACE_ID = trace_id_of(ROOT)


@pytest.fixture
def langsmith() -> Iterator[LangSmithStandIn]:
    with serving(LangSmithStandIn()) as stand_in:
        yield stand_in


def source(stand_in: LangSmithStandIn, **changed: Any) -> LangSmith:
    given = {"key": KEY, "project": PROJECT, "base_url": stand_in.base_url, "timeout_s": 5.0, **changed}
    return LangSmith(SourceConfig(name="ls", kind="langsmith", **given), Clock().pace())


def run(n: int, kind: str, start: str, end: str | None, *above: str, **more: Any) -> dict[str, Any]:
    """A run of the trace; times are of 2026-11-24T10:00."""
    return {
        "id": run_id(n),
        "trace_id": ROOT,
        "parent_run_ids": list(above),
        "name": f"run {n}",
        "run_type": kind,
        "start_time": f"2026-11-24T10:00:{start}Z",
        "end_time": end and f"2026-11-24T10:00:{end}Z",
        "project_id": PROJECT_ID,
        "tags": [],
        **more,
    }


def message(kind: str, **kwargs: Any) -> dict[str, Any]:
    """A message as LangChain serialises it."""
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": kwargs}


def conversation() -> list[dict[str, Any]]:
    """A request: a search, a failed call in OpenAI's shape, a tool, a streamed call in LangChain's."""
    chat = {"ls_provider": "openai", "ls_model_name": "gpt-5", "ls_model_type": "chat", "ls_temperature": 0.2}
    asked = message("HumanMessage", content="Where is my order?", type="human")
    tool = {"name": "lookup_order", "args": {"id": 991}, "id": "call_1", "type": "tool_call"}
    answer = message(
        "AIMessage", content="It arrives on Friday.", type="ai", id="run-1",
        response_metadata={"model_name": "gpt-5-2026-08-01", "finish_reason": "stop", "system_fingerprint": "fp_1",
                           "id": "chatcmpl-1"},
        usage_metadata={"input_tokens": 912, "output_tokens": 210},
    )  # fmt: skip
    return [
        run(
            0, "CHAIN", "00.000", "03.500", name="support.answer", inputs={"question": "Where is my order?"},
            outputs={"answer": "It arrives on Friday."}, tags=["vip"], total_cost=0.0026, prompt_tokens=912,
            thread_id="s-1",
            metadata={"segment": "free", "job_id": "ticket-991", "user_id": "ada", "environment": "production",
                      "revision_id": "2026.11.3", "LANGSMITH_ENDPOINT": "https://…", "ls_method": "traceable"},
        ),
        run(
            1, "RETRIEVER", "00.100", "00.300", ROOT, inputs={"query": "order"},
            outputs={"documents": [
                {"page_content": "Orders …", "metadata": {"id": "doc-17", "score": 0.82}, "type": "Document"},
                {"page_content": "Returns …", "metadata": {"source": "faq.md"}, "type": "Document"},
            ]},
        ),
        run(
            2, "LLM", "00.400", "00.900", ROOT, inputs={"messages": [{"role": "user", "content": "Where is my order?"}],
            "model": "gpt-5", "temperature": 0.2}, error="RateLimitError('Error code: 429')Traceback (most recent call "
            "last):\n  File …", metadata=chat, prompt_tokens=0, completion_tokens=0,
        ),
        run(
            3, "TOOL", "01.000", "01.250", ROOT, name="lookup_order", inputs={"input": "{\"id\": 991}"},
            outputs={"output": {"state": "shipped"}},
        ),
        run(
            4, "LLM", "01.500", "03.400", ROOT, run_id(9), name="ChatOpenAI",
            extra={"invocation_params": {"model": "gpt-5", "temperature": 0.2, "max_tokens": 800, "_type": "openai"}},
            metadata={**chat, "lc_hub_repo": "answer", "lc_hub_commit_hash": "c0ffee", "langgraph_step": 3},
            inputs={"messages": [[
                message("SystemMessage", content="Be kind.", type="system"), asked,
                message("AIMessage", content="", type="ai", tool_calls=[tool]),
                message("ToolMessage", content="shipped", type="tool", tool_call_id="call_1"),
            ]]},
            outputs={"generations": [[{"text": "It arrives on Friday.", "message": answer, "type": "ChatGeneration"}]],
                     "llm_output": {"model_name": "gpt-5-2026-08-01"}},
            first_token_time="2026-11-24T10:00:01.810Z", prompt_tokens=912, completion_tokens=210, total_cost=0.0026,
            prompt_token_details={"raw": {"cache_read": 512}}, completion_token_details={"raw": {"reasoning": 60}},
        ),
    ]  # fmt: skip


def whole_request(user: str = "ada") -> Request:
    """What the conversation is to us."""
    return Request(
        trace_id=TRACE_ID,
        span_id=span_id_of(ROOT),
        started_at=datetime(2026, 11, 24, 10, tzinfo=UTC),
        route="support.answer",
        segment="free",
        session_id="s-1",
        job_id="ticket-991",
        environment="production",
        release="2026.11.3",
        prompt=Prompt(id="answer", version="c0ffee"),
        input="Where is my order?",
        response="It arrives on Friday.",
        ttft_ms=1810.0,
        latency_ms=3500.0,
        calls=[
            Call(
                span_id=span_id_of(run_id(2)),
                provider="openai",
                model_requested="gpt-5",
                params={"temperature": 0.2},
                messages=[{"role": "user", "content": "Where is my order?"}],
                latency_ms=500.0,
                error_type="rate_limited",
                flags=[],
                more={"error_type_raw": "RateLimitError"},
            ),
            Call(
                span_id=span_id_of(run_id(4)),
                provider="openai",
                model_requested="gpt-5",
                model_served="gpt-5-2026-08-01",
                system_fingerprint="fp_1",
                params={"max_tokens": 800, "temperature": 0.2},
                messages=[
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Where is my order?"},
                    {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [{"id": "call_1", "name": "lookup_order", "arguments": {"id": 991}}],
                    },
                    {"role": "tool", "content": "shipped", "tool_call_id": "call_1"},
                ],
                response="It arrives on Friday.",
                finish_reason="stop",
                tokens=Tokens(input=400, output=150, cache_read=512, reasoning=60),
                ttft_ms=310.0,
                latency_ms=1900.0,
                cost_nano_usd=2_600_000,
                flags=[],
                more={"response_id": "chatcmpl-1"},
            ),
        ],
        retrievals=[
            Retrieval(
                span_id=span_id_of(run_id(1)),
                documents=[{"id": "doc-17", "score": 0.82}, {"id": "faq.md", "score": None}],
            )
        ],
        tool_calls=[
            ToolCall(
                span_id=span_id_of(run_id(3)),
                name="lookup_order",
                arguments={"id": 991},
                result={"state": "shipped"},
            )
        ],
        feedback=[],
        attributes={"tags": ["vip"], "metadata": {"user_id": user}},
    )


def test_a_conversation_becomes_the_request_it_was(langsmith: LangSmithStandIn, store: Store) -> None:
    langsmith.runs = conversation()
    assert pulled(store, source(langsmith).pages(DAY), TRACE_ID) == whole_request()


def test_a_server_without_the_new_query_gives_the_same_request(
    langsmith: LangSmithStandIn, sqlite_store: Store
) -> None:
    langsmith.missing = {"/api/v2/"}
    langsmith.runs = conversation()
    langsmith.runs[0]["metadata"]["session_id"] = "s-1"  # v1 has no thread of its own
    assert pulled(sqlite_store, source(langsmith).pages(DAY), TRACE_ID) == whole_request()
    assert "/api/v1/runs/query" in langsmith.paths()


def test_a_server_whose_old_query_is_retired_is_not_asked_for_it(langsmith: LangSmithStandIn) -> None:
    langsmith.missing = {"/api/v1/runs/"}
    langsmith.runs = conversation()
    assert [len(page.spans) for page in source(langsmith).pages(DAY)] == [5, 0]
    assert langsmith.paths() == ["/api/v1/sessions", "/api/v2/runs/query", "/api/v1/feedback"]


def test_a_server_with_neither_query_is_none(langsmith: LangSmithStandIn) -> None:
    langsmith.missing = {"/api/v1/runs/", "/api/v2/"}
    with pytest.raises(Gone, match="404"):
        list(source(langsmith).pages(DAY))


@pytest.mark.parametrize("missing", [set(), {"/api/v2/"}])
def test_pages_are_asked_for_by_the_cursor_of_the_one_before(langsmith: LangSmithStandIn, missing: set[str]) -> None:
    langsmith.missing, langsmith.runs, langsmith.page_size = missing, conversation(), 2
    assert [len(page.spans) for page in source(langsmith).pages(DAY)] == [2, 2, 1, 0]


def test_who_the_user_is_reaches_the_store_only_as_a_hash(langsmith: LangSmithStandIn, sqlite_store: Store) -> None:
    langsmith.runs = conversation()
    request = pulled(sqlite_store, source(langsmith).pages(DAY), TRACE_ID, Policy(secret=SECRET))
    assert request == whole_request(user=user_hash("ada", SECRET))


@pytest.mark.parametrize("project", [PROJECT, PROJECT_ID])
def test_a_project_is_found_by_its_name_and_by_its_id_and_asked_for_once(
    langsmith: LangSmithStandIn, project: str
) -> None:
    langsmith.runs = conversation()
    reading = source(langsmith, project=project)
    pages = [*reading.pages(DAY), *reading.pages(DAY)]
    assert [remote for page in pages[:1] for remote in page.roots] == [
        Remote(
            trace_id=TRACE_ID, span_id=span_id_of(ROOT), remote_trace_id=ROOT, remote_id=ROOT,
            url=f"{langsmith.base_url}/o/{TENANT}/projects/p/{PROJECT_ID}/r/{ROOT}?poll=false",
        )
    ]  # fmt: skip
    assert len([path for path in langsmith.paths() if "/sessions" in path]) == 1


@pytest.mark.parametrize("project", ["suport-desk", "00000000-0000-4000-8000-000000000000"])
def test_an_unknown_project_is_one_line(langsmith: LangSmithStandIn, project: str) -> None:
    with pytest.raises(
        NotFound, match=rf"\ANo project named '{project}' at LangSmith \(sources\.ls\.project\)[^\n]*\Z"
    ):
        list(source(langsmith, project=project).pages(DAY))


@pytest.mark.parametrize("end", ["", "/", "/api", "/api/v1"])
def test_the_address_may_be_written_as_people_write_it(langsmith: LangSmithStandIn, end: str) -> None:
    langsmith.runs = conversation()
    assert len(next(source(langsmith, base_url=langsmith.base_url + end).pages(DAY)).spans) == 5


def test_messages_of_a_graph_are_read_and_its_last_words_are_the_answer(
    langsmith: LangSmithStandIn, sqlite_store: Store
) -> None:
    flat = [{"type": "human", "content": "Hi"}, {"type": "ai", "content": [{"type": "text", "text": "Hello!"}]}]
    langsmith.runs = [
        run(0, "CHAIN", "00.000", "02.000", inputs={"messages": flat[:1]}, outputs={"messages": flat}),
        run(1, "LLM", "00.500", "01.500", ROOT, inputs={"messages": flat[:1]}, outputs={"messages": flat}),
    ]
    request = pulled(sqlite_store, source(langsmith).pages(DAY), TRACE_ID)
    assert (request.input, request.response) == ("Hi", "Hello!")
    assert request.calls[0].messages == [{"role": "user", "content": "Hi"}]
    assert request.calls[0].response == "Hello!"


def test_tools_an_answer_asks_for_are_known_without_a_run_of_their_own(
    langsmith: LangSmithStandIn, sqlite_store: Store
) -> None:
    asked = {"id": "call_1", "type": "function", "function": {"name": "refund", "arguments": '{"id": 7}'}}
    outputs = {"choices": [{"message": {"role": "assistant", "content": "Let me see.", "tool_calls": [asked]}}]}
    langsmith.runs = [run(0, "LLM", "00.500", "01.500", inputs={"messages": []}, outputs=outputs)]
    request = pulled(sqlite_store, source(langsmith).pages(DAY), TRACE_ID)
    (call,) = request.tool_calls
    assert (request.calls[0].messages, request.response) == ([], "Let me see.")
    assert (call.name, call.arguments, call.more) == ("refund", {"id": 7}, {"call_id": "call_1"})


@pytest.mark.parametrize(
    ("details", "written"),
    [
        ({"cache_creation": 40, "cache_read": 10}, 40),
        ({"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 5, "cache_creation": 0}, 35),
        ({"cache_write": 0}, 0),
        ({"audio": 4}, None),
    ],
)
def test_tokens_written_to_a_cache_are_counted_once(
    langsmith: LangSmithStandIn, sqlite_store: Store, details: dict[str, int], written: int | None
) -> None:
    langsmith.runs = [
        run(0, "LLM", "00.500", "01.500", prompt_tokens=100, completion_tokens=5, prompt_token_details={"raw": details})
    ]
    tokens = pulled(sqlite_store, source(langsmith).pages(DAY), TRACE_ID).calls[0].tokens
    assert (tokens.cache_write, tokens.wire_input) == (written, 100)


def said(langsmith: LangSmithStandIn, **more: Any) -> None:
    id = f"f-{len(langsmith.feedback)}"
    langsmith.feedback[id] = {
        "id": id, "run_id": ROOT, "trace_id": ROOT, "created_at": "2026-11-24T11:00:00.000000", "score": None,
        "value": None, "comment": None, "feedback_source": {"type": "app"}, "key": "thumb", **more,
    }  # fmt: skip


def test_feedback_of_users_is_taken_and_scores_of_evaluators_and_ours_are_not(langsmith: LangSmithStandIn) -> None:
    said(langsmith, score=0, comment="Wrong day.")
    said(langsmith, key="tone", value="rude", feedback_source={"type": "api"})
    said(langsmith, key="helpful", score=0.4, feedback_source={"type": "model"})
    said(langsmith, key="empty")
    said(langsmith, key="late", score=1, created_at="2026-11-26T11:00:00")
    remote = Remote(trace_id=TRACE_ID, span_id=span_id_of(ROOT), remote_trace_id=ROOT, remote_id=ROOT)
    source(langsmith).push([Score(remote=remote, name="ours", value=1.0, by="code")])
    page = list(source(langsmith).pages(DAY))[-1]
    at = datetime(2026, 11, 24, 11, tzinfo=UTC)
    assert [(each.trace_id, each.feedback) for each in page.feedback] == [
        (TRACE_ID, Feedback(kind="thumb", value=0, comment="Wrong day.", at=at)),
        (TRACE_ID, Feedback(kind="tone", value="rude", at=at)),
    ]
    assert page.counts == {"score of an evaluator there": 1, "rejected: feedback without a word": 1}


def test_feedback_is_listed_page_after_page(langsmith: LangSmithStandIn) -> None:
    for _ in range(203):
        said(langsmith, score=1)
    assert [len(page.feedback) for page in source(langsmith).pages(DAY)] == [0, 100, 100, 3]


def test_a_score_lands_on_the_run_with_its_reasons(langsmith: LangSmithStandIn) -> None:
    remote = Remote(trace_id=TRACE_ID, span_id=span_id_of(ROOT), remote_trace_id=ROOT, remote_id=ROOT)
    score = Score(remote=remote, name="tone", value=0.5, label="fine", explanation="It was.")
    source(langsmith).push([score])
    assert langsmith.asked[-1].body == {
        "id": score.id, "run_id": ROOT, "trace_id": ROOT, "key": "tone", "score": 0.5, "value": "fine",
        "comment": "It was.", "feedback_source": {"type": "model", "metadata": {"watchkeeper": "llm"}},
    }  # fmt: skip


@pytest.mark.parametrize("missing", [set(), {"/api/v2/"}])
def test_a_run_hangs_below_its_nearest_ancestor(langsmith: LangSmithStandIn, missing: set[str]) -> None:
    langsmith.missing, langsmith.runs = missing, conversation()
    spans = next(source(langsmith).pages(DAY)).spans
    above = [None, *[span_id_of(ROOT)] * 3, span_id_of(run_id(9))]
    assert [span.parent_span_id for span in spans] == above


def test_a_run_that_goes_on_waits_for_its_end(langsmith: LangSmithStandIn) -> None:
    langsmith.runs = [run(0, "CHAIN", "00.000", None)]
    page = next(source(langsmith).pages(Window(since=DAY.since, until=DAY.until)))
    assert (list(page.spans), page.counts) == ([], {"not finished": 1})
