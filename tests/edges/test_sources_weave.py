"""W&B Weave as a source, over real HTTP against a stand-in that speaks its trace server's protocol."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.edges.source_stand_ins.pulling import DAY, SECRET, TRACE, StillClock, pulled
from tests.edges.source_stand_ins.server import serving
from tests.edges.source_stand_ins.weave import KEY, PROJECT, WeaveStandIn
from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability.redact import Policy, user_hash
from watchkeeper.observability.request import Call, Feedback, Request, Retrieval, Tokens, ToolCall
from watchkeeper.sources.http import Gone
from watchkeeper.sources.interface import Remote, Score, SourceConfig, span_id_of
from watchkeeper.sources.weave import Weave

ASKED = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is my order?"}]
TRACEBACK = "Traceback (most recent call last):\n  File …\nopenai.RateLimitError: Error code: 429 - {'error': …}\n"


@pytest.fixture
def weave() -> Iterator[WeaveStandIn]:
    with serving(WeaveStandIn()) as stand_in:
        yield stand_in


def source(stand_in: WeaveStandIn, **changed: Any) -> Weave:
    given = {"key": KEY, "project": PROJECT, "base_url": stand_in.base_url, "timeout_s": 5.0, **changed}
    return Weave(SourceConfig(name="wv", kind="weave", **given), StillClock().pace())


def call(id: str, op: str, start: str, end: str | None, parent: str | None = "root", **more: Any) -> dict[str, Any]:
    """A call of the trace; times are of 2026-11-24T10:00."""
    return {
        "id": id,
        "project_id": PROJECT,
        "op_name": f"weave:///{PROJECT}/op/{op}:2bFqXw",
        "trace_id": TRACE,
        "parent_id": parent,
        "started_at": f"2026-11-24T10:00:{start}000Z",
        "ended_at": end and f"2026-11-24T10:00:{end}000Z",
        "inputs": {},
        "output": None,
        "attributes": {"weave": {"client_version": "0.52", "source": "python-sdk"}},
        "summary": {},
        "wb_user_id": "VXNlcjox",
        **more,
    }


def conversation() -> list[dict[str, Any]]:
    """A request: a search, a failed call, a tool, a call with cached and reasoning tokens."""
    usage = {
        "prompt_tokens": 912,
        "completion_tokens": 210,
        "total_tokens": 1122,
        "requests": 1,
        "prompt_tokens_details": {"cached_tokens": 512},
        "completion_tokens_details": {"reasoning_tokens": 60},
    }
    costs = {"prompt_tokens_total_cost": 0.0005, "completion_tokens_total_cost": 0.0021, "prompt_tokens": 912}
    answer = {
        "id": "chatcmpl-1",
        "model": "gpt-5-2026-08-01",
        "system_fingerprint": "fp_1",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It arrives on Friday."}}
        ],
    }
    return [
        call(
            "root", "support.answer", "00.000", "03.500", None, inputs={"self": "<Desk>", "q": "Where is my order?"},
            output={"answer": "It arrives on Friday."}, thread_id="s-1", display_name="brave-otter",
            attributes={"weave": {"os_name": "Linux"}, "env": "production", "segment": "free", "job_id": "ticket-991",
                        "user_id": "ada", "release": "2026.11.3"},
            summary={"usage": {"gpt-5-2026-08-01": usage}, "weave": {"costs": {"gpt-5-2026-08-01": costs}}},
        ),
        call(
            "search", "retrieve_documents", "00.100", "00.300", inputs={"query": "order"},
            output=[{"id": "doc-17", "score": 0.82, "page_content": "Orders …"}, {"id": "doc-3"}],
        ),
        call(
            "failed", "openai.chat.completions.create", "00.400", "00.900", exception=TRACEBACK,
            inputs={"self": "<OpenAI>", "model": "gpt-5", "messages": ASKED},
            summary={"usage": {"gpt-5": {"requests": 1}}, "weave": {"status": "error"}},
        ),
        call(
            "tool", "lookup_order", "01.000", "01.250", inputs={"id": 991}, output={"state": "shipped"},
            attributes={"weave": {"kind": "tool"}},
        ),
        call(
            "answered", "openai.chat.completions.create", "01.500", "03.400",
            inputs={"self": "<OpenAI>", "model": "gpt-5", "messages": ASKED, "temperature": 0.2, "max_tokens": 800},
            output=answer,
            summary={"usage": {"gpt-5-2026-08-01": usage}, "weave": {"costs": {"gpt-5-2026-08-01": costs}}},
        ),
    ]  # fmt: skip


def whole_request(user: str = "ada") -> Request:
    """What the conversation is to us."""
    return Request(
        trace_id=TRACE,
        span_id=span_id_of("root"),
        started_at=datetime(2026, 11, 24, 10, tzinfo=UTC),
        route="support.answer",
        segment="free",
        session_id="s-1",
        job_id="ticket-991",
        environment="production",
        release="2026.11.3",
        input="Where is my order?",
        response="It arrives on Friday.",
        ttft_ms=None,  # Weave does not record it
        latency_ms=3500.0,
        calls=[
            Call(
                span_id=span_id_of("failed"),
                provider="openai",
                model_requested="gpt-5",
                messages=ASKED,
                latency_ms=500.0,
                error_type="rate_limited",
                flags=[],
                more={"error_type_raw": "openai.RateLimitError"},
            ),
            Call(
                span_id=span_id_of("answered"),
                provider="openai",
                model_requested="gpt-5",
                model_served="gpt-5-2026-08-01",
                system_fingerprint="fp_1",
                params={"max_tokens": 800, "temperature": 0.2},
                messages=ASKED,
                response="It arrives on Friday.",
                finish_reason="stop",
                tokens=Tokens(input=400, output=150, cache_read=512, reasoning=60),
                latency_ms=1900.0,
                cost_nano_usd=2_600_000,
                flags=[],
                more={"response_id": "chatcmpl-1"},
            ),
        ],
        retrievals=[
            Retrieval(
                span_id=span_id_of("search"),
                documents=[{"id": "doc-17", "score": 0.82}, {"id": "doc-3", "score": None}],
            )
        ],
        tool_calls=[
            ToolCall(
                span_id=span_id_of("tool"), name="lookup_order", arguments={"id": 991}, result={"state": "shipped"}
            )
        ],
        feedback=[],
        attributes={"metadata": {"user_id": user}},
    )


def test_a_conversation_becomes_the_request_it_was(weave: WeaveStandIn, store: Store) -> None:
    weave.calls = conversation()
    assert pulled(store, source(weave).pages(DAY)) == whole_request()


def test_who_the_user_is_reaches_the_store_only_as_a_hash(weave: WeaveStandIn, sqlite_store: Store) -> None:
    weave.calls = conversation()
    request = pulled(sqlite_store, source(weave).pages(DAY), policy=Policy(secret=SECRET))
    assert request == whole_request(user=user_hash("ada", SECRET))


def test_a_roots_page_there_is_known(weave: WeaveStandIn) -> None:
    weave.calls = conversation()
    (page,) = source(weave).pages(DAY)
    assert page.roots == [
        Remote(
            trace_id=TRACE, span_id=span_id_of("root"), remote_trace_id=TRACE, remote_id="root",
            url=f"{weave.base_url}/{PROJECT}/r/call/root",
        )
    ]  # fmt: skip


def test_a_server_that_is_none_is_said_so(weave: WeaveStandIn) -> None:
    weave.missing = {"/"}
    with pytest.raises(Gone, match="404"):
        list(source(weave).pages(DAY))


@pytest.mark.parametrize("project", ["support", "acme/", "/support", "acme/support/more", ""])
def test_a_project_is_written_with_its_entity(weave: WeaveStandIn, project: str) -> None:
    with pytest.raises(Misconfigured, match=r'\Asources\.wv: [^\n]*"entity/project"\Z'):
        source(weave, project=project)


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        ("openai.responses.create", "call"),
        ("anthropic.AsyncMessages.create", "call"),
        ("google.genai.models.Models.generate_content", "call"),
        ("mistralai.chat.complete", "call"),
        ("litellm.completion", "call"),
        ("groq.chat.completions.create", "call"),
        ("BedrockRuntime.converse", "call"),
        ("langchain.Llm.ChatOpenAI", "call"),
        ("openai.embeddings.create", None),
        ("langchain.Tool.lookup", "tool_call"),
        ("langchain.Retriever.VectorStoreRetriever", "retrieval"),
        ("Desk.retrieve", "retrieval"),
        ("chat", None),
        ("answer_messages", None),
        ("openai_chat_wrapper", None),
    ],
)
def test_an_op_of_an_integration_is_known_by_its_name(weave: WeaveStandIn, op: str, kind: str | None) -> None:
    weave.calls = [call("root", op, "00.000", "01.000", None, output=[])]
    (page,) = source(weave).pages(DAY)
    assert page.spans[0].attributes.get("watchkeeper.kind") == kind


@pytest.mark.parametrize(("declared", "kind"), [("llm", "call"), ("tool", "tool_call"), ("agent", None)])
def test_what_an_op_was_declared_as_counts_more_than_its_name(
    weave: WeaveStandIn, declared: str, kind: str | None
) -> None:
    weave.calls = [
        call("root", "openai.chat.create", "00.000", "01.000", None, attributes={"weave": {"kind": declared}})
    ]
    (page,) = source(weave).pages(DAY)
    assert page.spans[0].attributes.get("watchkeeper.kind") == kind


def test_anthropics_usage_counts_what_was_cached_beside_its_input(weave: WeaveStandIn, sqlite_store: Store) -> None:
    usage = {"input_tokens": 100, "output_tokens": 30, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 5}
    weave.calls = [
        call("root", "anthropic.Messages.create", "00.000", "01.000", None, summary={"usage": {"claude": usage}})
    ]
    (found,) = pulled(sqlite_store, source(weave).pages(DAY)).calls
    assert found.tokens == Tokens(input=100, output=30, cache_read=900, cache_write=5)
    assert (found.provider, found.cost_nano_usd) == ("anthropic", None)


def test_an_op_that_calls_another_library_is_one_call(weave: WeaveStandIn, sqlite_store: Store) -> None:
    usage = {"gpt-5": {"prompt_tokens": 10, "completion_tokens": 5}}
    weave.calls = [
        call("root", "litellm.completion", "00.000", "02.000", None, summary={"usage": usage}),
        call("inner", "openai.chat.completions.create", "00.100", "01.900", summary={"usage": usage}),
    ]
    (found,) = pulled(sqlite_store, source(weave).pages(DAY)).calls
    assert (found.tokens, found.provider) == (Tokens(input=10, output=5), "openai")


def test_a_retrieval_that_names_no_documents_is_not_one_that_found_none(
    weave: WeaveStandIn, sqlite_store: Store
) -> None:
    weave.calls = [
        call("root", "answer", "00.000", "02.000", None),
        call("silent", "retrieve", "00.100", "00.200", output="a text"),
        call("empty", "retrieve", "00.300", "00.400", output=[]),
    ]
    pages = list(source(weave).pages(DAY))
    assert pulled(sqlite_store, pages).retrievals == [Retrieval(span_id=span_id_of("empty"), documents=[])]
    assert pages[0].counts == {"retrievals that do not name their documents": 1}


def test_a_call_that_goes_on_waits_for_its_end(weave: WeaveStandIn) -> None:
    weave.calls = [call("root", "answer", "00.000", None, None)]
    (page,) = source(weave).pages(DAY)
    assert (list(page.spans), page.counts) == ([], {"not finished": 1})


def test_what_people_said_is_feedback_and_scores_of_evaluators_and_ours_are_not(weave: WeaveStandIn) -> None:
    at = "2026-11-24T11:00:00Z"
    given = [
        ("wandb.reaction.1", {"emoji": "👍🏽", "detoned": "👍"}),
        ("wandb.reaction.1", {"emoji": "👎"}),
        ("wandb.reaction.1", {"emoji": "🎉"}),
        ("wandb.note.1", {"note": "Wrong day."}),
        ("wandb.annotation.tone", {"value": "rude"}),
        ("stars", {"of_five": 4}),
        ("wandb.runnable.judge", {"output": 0.4}),
        ("watchkeeper.score", {"name": "tone", "value": 0.5}),
        ("wandb.note.1", {}),
    ]
    said = [{"id": str(n), "feedback_type": k, "payload": p, "created_at": at} for n, (k, p) in enumerate(given)]
    weave.calls = [call("root", "answer", "00.000", "01.000", None, summary={"weave": {"feedback": said}})]
    (page,) = source(weave).pages(DAY)
    when = datetime(2026, 11, 24, 11, tzinfo=UTC)
    assert [each.feedback for each in page.feedback] == [
        Feedback(kind="thumb", value=1, at=when),
        Feedback(kind="thumb", value=-1, at=when),
        Feedback(kind="reaction", value="🎉", at=when),
        Feedback(kind="note", comment="Wrong day.", at=when),
        Feedback(kind="tone", value="rude", at=when),
        Feedback(kind="stars", value={"of_five": 4}, at=when),
    ]
    assert {said.trace_id for said in page.feedback} == {TRACE}
    assert page.counts == {"score of an evaluator there": 1, "rejected: feedback without a word": 1}


def test_a_score_lands_on_the_call_with_its_reasons_however_long(weave: WeaveStandIn) -> None:
    remote = Remote(trace_id=TRACE, span_id=span_id_of("root"), remote_trace_id=TRACE, remote_id="root")
    score = Score(remote=remote, name="tone", value=0.5, label="fine", explanation="é" * 3_000_000, by="human")
    source(weave).push([score])
    (kept,) = weave.feedback.values()
    assert (kept["id"], kept["feedback_type"]) == (score.id, "watchkeeper.score")
    assert kept["weave_ref"] == f"weave:///{PROJECT}/call/root"
    assert kept["payload"]["explanation"] == "é" * 10_000
    assert {key: kept["payload"][key] for key in ("name", "value", "label", "by")} == {
        "name": "tone", "value": 0.5, "label": "fine", "by": "human",
    }  # fmt: skip
