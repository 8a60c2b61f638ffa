"""LangSmith: runs and feedback of one tracing project, by the v2 query, an older server's v1 query else.

Facts: the SDK's generated client. Token counts include their details, as LangChain's do; v2 gives only the fields one
selects, names run types in capitals and ancestors instead of a parent.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from watchkeeper.foundation.errors import Misconfigured, NotFound
from watchkeeper.observability.otlp import Span
from watchkeeper.observability.readers import structure
from watchkeeper.sources import exchange, reading, token_counts
from watchkeeper.sources.http import Api, Gone, Pace
from watchkeeper.sources.interface import Page, Remote, Said, Score, SourceConfig, Window, trace_id_of

_RUNS, _OLD_RUNS, _FEEDBACK = 1000, 100, 100
_SELECTS = (
    "ID", "TRACE_ID", "PARENT_RUN_IDS", "NAME", "RUN_TYPE", "START_TIME", "END_TIME", "FIRST_TOKEN_TIME", "INPUTS",
    "OUTPUTS", "EXTRA", "METADATA", "ERROR", "TAGS", "THREAD_ID", "PROMPT_TOKENS", "COMPLETION_TOKENS",
    "PROMPT_TOKEN_DETAILS", "COMPLETION_TOKEN_DETAILS", "TOTAL_COST",
)  # fmt: skip
_OLD_SELECT = (
    "id", "trace_id", "parent_run_id", "name", "run_type", "start_time", "end_time", "first_token_time", "inputs",
    "outputs", "extra", "error", "tags", "prompt_tokens", "completion_tokens", "prompt_token_details",
    "completion_token_details", "total_cost",
)  # fmt: skip
_KINDS = {"llm": "call", "retriever": "retrieval", "tool": "tool_call"}
_EVALUATORS = frozenset({"model", "auto_eval"})
_DESCRIBES = ("ls_", "lc_", "LANGSMITH_", "LANGCHAIN_", "__", "langgraph_", "revision_id")
_SESSIONS = ("session_id", "thread_id", "conversation_id")
_TAKEN = (*_SESSIONS, "environment")
_MARK = "watchkeeper"


class LangSmith:
    """One tracing project.

    Raises:
        Misconfigured: If the key or the project is missing.
    """

    def __init__(self, config: SourceConfig, pace: Pace | None = None) -> None:
        if not config.key or not config.project:
            raise Misconfigured(f"sources.{config.name}: LangSmith needs api_key_env (lsv2_…) and project (name or id)")
        self._name, self._asked_for = config.name, config.project
        base = config.base_url.rstrip("/").removesuffix("/v1").removesuffix("/api")
        self._web = _web_address(base)
        self._api = Api(
            name=config.name, base_url=base, headers={"x-api-key": config.key}, secrets=(config.key,),
            timeout_s=config.timeout_s, pace=pace,
        )  # fmt: skip
        self._found: tuple[str, str | None] | None = None

    def pages(self, window: Window) -> Iterator[Page]:
        """Runs that started in the window, then feedback given in it."""
        yield from reading.first_there(self._runs(window), self._old_runs(window))
        yield from self._feedback(window)

    def push(self, scores: Sequence[Score]) -> None:
        """Leave scores as feedback on the run; one of the same id is replaced."""
        for score in scores:
            self._api.post("/api/v1/feedback", {
                "id": score.id, "run_id": score.remote.remote_id, "trace_id": score.remote.remote_trace_id,
                "key": score.name, "score": score.value, "value": score.label, "comment": score.explanation,
                "feedback_source": {"type": "model" if score.by == "llm" else "api", "metadata": {_MARK: score.by}},
            })  # fmt: skip

    def _project(self) -> tuple[str, str | None]:
        """The project's id and the workspace it is in, looked up once."""
        if self._found is None:
            wanted = self._asked_for
            if _is_uuid(wanted):
                try:
                    found = [self._api.get(f"/api/v1/sessions/{wanted}")]
                except Gone:
                    found = []
            else:
                found = reading.listed(self._api.get("/api/v1/sessions", {"name": wanted}), None, self._name)
            project = next((each for each in found if isinstance(each, Mapping) and _is_uuid(each.get("id"))), None)
            if project is None:
                raise NotFound("project", wanted, [], where=f"at LangSmith (sources.{self._name}.project)")
            tenant = project.get("tenant_id")
            self._found = str(project["id"]), tenant if isinstance(tenant, str) else None
        return self._found

    def _runs(self, window: Window) -> Iterator[Page]:
        cursor, (since, until) = None, reading.around(window)
        while True:
            body = {
                "project_ids": [self._project()[0]], "min_start_time": since, "max_start_time": until,
                "selects": list(_SELECTS), "page_size": _RUNS, **({"cursor": cursor} if cursor else {}),
            }  # fmt: skip
            answer = self._api.post("/api/v2/runs/query", body)
            yield self._page(window, reading.listed(answer, "items", self._name))
            if not (cursor := reading.new_cursor(answer.get("next_cursor"), cursor, self._name)):
                return

    def _old_runs(self, window: Window) -> Iterator[Page]:
        cursor, (since, until) = None, reading.around(window)
        while True:
            body = {
                "session": [self._project()[0]], "start_time": since, "filter": f'lt(start_time, "{until}")',
                "select": list(_OLD_SELECT), "limit": _OLD_RUNS, **({"cursor": cursor} if cursor else {}),
            }  # fmt: skip
            answer = self._api.post("/api/v1/runs/query", body)
            yield self._page(window, reading.listed(answer, "runs", self._name))
            following = (answer.get("cursors") or {}).get("next")
            if not (cursor := reading.new_cursor(following, cursor, self._name)):
                return

    def _page(self, window: Window, runs: list[Any]) -> Page:
        spans: list[Span] = []
        roots: list[Remote] = []
        counts: Counter[str] = Counter()

        def take(run: Mapping[str, Any]) -> None:
            remote, trace = (reading.required(run, *of) for of in (("id", "id"), ("trace_id", "trace id")))
            if not reading.within(window, reading.start_of(run, "start_time")):
                return
            spans.append(span := _span(run, counts))
            if span.parent_span_id is None:
                roots.append(Remote(
                    trace_id=span.trace_id, span_id=span.span_id, remote_trace_id=str(trace), remote_id=str(remote),
                    url=self._url(str(remote)),
                ))  # fmt: skip

        reading.take_each(runs, take, counts)
        return Page(spans=spans, roots=roots, counts=counts)

    def _url(self, run: str) -> str | None:
        project, tenant = self._project()
        return f"{self._web}/o/{tenant}/projects/p/{project}/r/{run}?poll=false" if tenant else None

    def _feedback(self, window: Window) -> Iterator[Page]:
        offset, (since, until) = 0, reading.around(window)
        while True:
            found = reading.listed(self._api.get("/api/v1/feedback", {
                "session": self._project()[0], "min_created_at": since, "max_created_at": until,
                "limit": _FEEDBACK, "offset": offset,
            }), None, self._name)  # fmt: skip
            yield _said(found)
            if len(found) < _FEEDBACK:
                return
            offset += len(found)


def _span(run: Mapping[str, Any], counts: Counter[str]) -> Span:
    start, end = reading.start_of(run, "start_time"), reading.instant_ns(run.get("end_time"))
    if end is None:
        raise reading.Unusable("not finished")
    kind, parent = str(run.get("run_type") or "chain").lower(), _parent(run)
    extra = _mapping(run.get("extra"))
    metadata = {**_mapping(extra.get("metadata")), **_mapping(run.get("metadata"))}
    attributes: dict[str, Any] = {
        "watchkeeper.prompt.id": metadata.get("lc_hub_repo"),
        "watchkeeper.prompt.version": metadata.get("lc_hub_commit_hash"),
        "deployment.environment.name": metadata.get("environment"),
        "service.version": metadata.get("revision_id") or metadata.get("LANGSMITH_REVISION_ID"),
        "session.id": run.get("thread_id") or next((metadata[key] for key in _SESSIONS if metadata.get(key)), None),
        "metadata": {k: v for k, v in metadata.items() if k not in _TAKEN and not k.startswith(_DESCRIBES)} or None,
    }
    if kind == "llm":
        attributes |= _call(run, extra, metadata, start)
    elif kind == "tool":
        attributes |= {
            "gen_ai.tool.name": run.get("name"),
            "gen_ai.tool.call.arguments": _only(run.get("inputs"), "input"),
            "gen_ai.tool.call.result": _only(run.get("outputs"), "output"),
        }
    elif kind == "retriever" and (found := exchange.documents(run.get("outputs"))) is None:
        counts["retrievals that do not name their documents"] += 1
        kind = "chain"
    elif kind == "retriever":
        attributes["gen_ai.retrieval.documents"] = found
    elif parent is None:
        attributes["watchkeeper.input"] = exchange.words(run.get("inputs"))
        attributes["watchkeeper.response"] = exchange.words(run.get("outputs"))
    return reading.span_of(
        remote_trace_id=run["trace_id"],
        remote_id=run["id"],
        remote_parent=parent,
        name=run.get("name"),
        start_ns=start,
        end_ns=end,
        error=reading.error_type(run.get("error")),
        attributes={**attributes, "watchkeeper.kind": _KINDS.get(kind), "tags": run.get("tags") or None},
    )


def _call(run: Mapping[str, Any], extra: Mapping[str, Any], metadata: Mapping[str, Any], start: int) -> dict[str, Any]:
    invoked = _mapping(extra.get("invocation_params"))
    sent = {key: value for key, value in metadata.items() if key.startswith("ls_") and value is not None}
    asked = exchange.asked({**invoked, **_mapping(run.get("inputs"))})
    first = reading.instant_ns(run.get("first_token_time"))
    prompt, completion = (_details(run.get(key)) for key in ("prompt_token_details", "completion_token_details"))
    return {
        "gen_ai.request.temperature": sent.get("ls_temperature"),
        "gen_ai.request.max_tokens": sent.get("ls_max_tokens"),
        **asked,
        **exchange.answered(run.get("outputs")),
        **(token_counts.inclusive(
            input=run.get("prompt_tokens"), output=run.get("completion_tokens"), cache_read=prompt.get("cache_read"),
            cache_write=_written(prompt), reasoning=completion.get("reasoning"),
        ) if run.get("prompt_tokens") or run.get("completion_tokens") else {}),  # a failed call has 0 of both
        "gen_ai.provider.name": sent.get("ls_provider"),
        "gen_ai.request.model": sent.get("ls_model_name") or asked.get("gen_ai.request.model")
        or invoked.get("model_name"),
        "ai.response.msToFirstChunk": (first - start) / 1e6 if first is not None and first >= start else None,
        "watchkeeper.cost_usd": token_counts.dollars(run.get("total_cost")),
    }  # fmt: skip


def _parent(run: Mapping[str, Any]) -> str | None:
    above = run.get("parent_run_ids")
    if isinstance(above, list):
        return str(above[-1]) if above else None
    return str(run["parent_run_id"]) if run.get("parent_run_id") else None


def _details(given: Any) -> dict[str, Any]:
    found = _mapping(given)
    return _mapping(found.get("raw")) or found


def _written(details: Mapping[str, Any]) -> Any:
    """Tokens written to a cache; Anthropic's come by how long they are kept."""
    if (known := next((details[k] for k in ("cache_write", "cache_creation") if details.get(k)), None)) is not None:
        return known
    kept = [details[k] for k in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens") if details.get(k)]
    return sum(kept) if kept else details.get("cache_write", details.get("cache_creation"))


def _said(found: list[Any]) -> Page:
    said: list[Said] = []
    counts: Counter[str] = Counter()

    def take(item: Mapping[str, Any]) -> None:
        source = _mapping(item.get("feedback_source"))
        if _MARK in _mapping(source.get("metadata")):
            return
        if source.get("type") in _EVALUATORS:
            raise reading.Unusable("score of an evaluator there")
        trace = item.get("trace_id") or item.get("run_id")
        if not isinstance(trace, str) or not trace:
            raise reading.Unusable("score of no trace")
        value = item.get("value") if item.get("score") is None else item["score"]
        kind = reading.required(item, "key", "name")
        feedback = reading.said_of(kind, value, comment=item.get("comment"), at=item.get("created_at"))
        said.append(Said(trace_id=trace_id_of(trace), feedback=feedback))

    reading.take_each(found, take, counts)
    return Page(feedback=said, counts=counts)


def _only(given: Any, key: str) -> Any:
    """LangChain wraps what a tool got and gave in an object of one key."""
    found = structure(given)
    return structure(found[key]) if isinstance(found, Mapping) and set(found) == {key} else found


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _is_uuid(value: Any) -> bool:
    try:
        return bool(UUID(str(value)))
    except ValueError:
        return False


def _web_address(base: str) -> str:
    parts = urlsplit(base)
    return base if not parts.netloc.endswith("langchain.com") else f"https://{parts.netloc.replace('api.', '', 1)}"
