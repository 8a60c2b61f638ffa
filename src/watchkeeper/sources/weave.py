"""W&B Weave: calls of one project with their costs and feedback, scores as feedback of a type of our own.

Facts: its server's interface. Token usage is what the provider's SDK reported, and a calling op's summary repeats its
children's, so only ops that are inferences count. Times are asked for in whole seconds and cut exactly here. Weave
does not record when the first token came.
"""

import math
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability.otlp import Span
from watchkeeper.observability.request import Feedback
from watchkeeper.sources import exchange, reading, token_counts
from watchkeeper.sources.http import Api, Pace, SourceFailed
from watchkeeper.sources.interface import Page, Remote, Said, Score, SourceConfig, Window

_LIMIT = 500
_TYPE = "watchkeeper.score"
"""The prefix "wandb." is Weave's own, and its `wandb.runnable` wants a scorer that is an op there."""
_LONGEST_EXPLANATION = 10_000
_COLUMNS = (
    "id", "op_name", "trace_id", "parent_id", "thread_id", "started_at", "ended_at", "inputs", "output", "exception",
    "attributes", "summary",
)  # fmt: skip
_INFERENCE = re.compile(
    r"(?i)(openai|anthropic|mistralai|cohere|groq|litellm|google|vertexai|cerebras|together|fireworks|nvidia|bedrock\w*"
    r"|huggingface_hub|ollama|instructor)\..*(complet|messages|responses|generate_content|converse|invoke_model|chat)"
    r"|langchain\.(llm|chat)\w*\."
)
_KINDS = {"llm": "call", "tool": "tool_call", "search": "retrieval", "retriever": "retrieval"}
_NAMED = {"environment": ("environment", "env"), "release": ("release", "version")}
_THUMBS = {"👍": 1, "👎": -1}


class Weave:
    """One project of one entity.

    Raises:
        Misconfigured: If the key is missing, or the project is not "entity/project".
    """

    def __init__(self, config: SourceConfig, pace: Pace | None = None) -> None:
        entity, slash, project = (config.project or "").partition("/")
        if not (config.key and entity and slash and project) or "/" in project:
            raise Misconfigured(f'sources.{config.name}: Weave needs api_key_env and project, written "entity/project"')
        self._name, self._project = config.name, f"{entity}/{project}"
        host = urlsplit(config.base_url)
        web = "https://wandb.ai" if host.netloc == "trace.wandb.ai" else f"{host.scheme}://{host.netloc}"
        self._web = f"{web}/{self._project}/r/call"
        self._api = Api(
            name=config.name, base_url=config.base_url, headers={}, auth=("api", config.key),
            secrets=(config.key, b64encode(f"api:{config.key}".encode()).decode()),
            timeout_s=config.timeout_s, pace=pace,
        )  # fmt: skip

    def pages(self, window: Window) -> Iterator[Page]:
        """Calls that started in the window, oldest first, with what people said about them."""
        offset = 0
        while True:
            calls = list(self._api.lines("/calls/stream_query", self._query(window, offset)))
            if calls and not any(isinstance(call, Mapping) for call in calls):
                raise SourceFailed(f"{self._name}: the answer is not JSON lines; is base_url the API's own address?")
            yield self._page(window, calls)
            if len(calls) < _LIMIT:
                return
            offset += len(calls)

    def push(self, scores: Sequence[Score]) -> None:
        """Leave scores as feedback on the call; the server keeps one of each id."""
        for score in scores:
            explanation = score.explanation and score.explanation[:_LONGEST_EXPLANATION]
            self._api.post("/feedback/create", {
                "id": score.id, "project_id": self._project, "creator": "watchkeeper", "feedback_type": _TYPE,
                "weave_ref": f"weave:///{self._project}/call/{score.remote.remote_id}",
                "payload": {
                    "name": score.name, "value": score.value, "label": score.label, "explanation": explanation,
                    "by": score.by,
                },
            })  # fmt: skip

    def _query(self, window: Window, offset: int) -> dict[str, Any]:
        started = {"$getField": "started_at"}
        since, until = math.floor(window.since.timestamp()), math.ceil(window.until.timestamp())
        not_before = {"$gte": [started, {"$literal": since}]}
        before = {"$not": [{"$gte": [started, {"$literal": until}]}]}
        return {
            "project_id": self._project,
            "query": {"$expr": {"$and": [not_before, before]}},
            "sort_by": [{"field": "started_at", "direction": "asc"}, {"field": "id", "direction": "asc"}],
            "columns": list(_COLUMNS),
            "include_costs": True,
            "include_feedback": True,
            "limit": _LIMIT,
            "offset": offset,
        }

    def _page(self, window: Window, calls: list[Any]) -> Page:
        spans: list[Span] = []
        roots: list[Remote] = []
        said: list[Said] = []
        counts: Counter[str] = Counter()

        def take(call: Mapping[str, Any]) -> None:
            remote, trace = (reading.required(call, *of) for of in (("id", "id"), ("trace_id", "trace id")))
            if not reading.within(window, reading.start_of(call, "started_at")):
                return
            span = _span(call, counts)
            spans.append(span)
            if span.parent_span_id is None:
                roots.append(Remote(
                    trace_id=span.trace_id, span_id=span.span_id, remote_trace_id=str(trace), remote_id=str(remote),
                    url=f"{self._web}/{remote}",
                ))  # fmt: skip
            given = _mapping(_mapping(call.get("summary")).get("weave")).get("feedback")
            said.extend(Said(trace_id=span.trace_id, feedback=each) for each in _feedback(given, counts))

        reading.take_each(calls, take, counts)
        return Page(spans=spans, roots=roots, feedback=said, counts=counts)


def _span(call: Mapping[str, Any], counts: Counter[str]) -> Span:
    start, end = reading.start_of(call, "started_at"), reading.instant_ns(call.get("ended_at"))
    if end is None:
        raise reading.Unusable("not finished")
    name, given = _op(call.get("op_name")), _mapping(call.get("attributes"))
    inside = _mapping(given.pop("weave", None))
    inputs = {key: value for key, value in _mapping(call.get("inputs")).items() if key != "self"}
    kind = _kind(name, inside.get("kind") or given.pop("kind", None))
    attributes = {"session.id": call.get("thread_id"), **_named(given)}
    if kind == "call":
        attributes |= _call(call, name, inputs)
    elif kind == "tool_call":
        attributes |= {
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.arguments": inputs,
            "gen_ai.tool.call.result": call.get("output"),
        }
    elif kind == "retrieval" and (found := exchange.documents(call.get("output"))) is None:
        counts["retrievals that do not name their documents"] += 1
        kind = None
    elif kind == "retrieval":
        attributes["gen_ai.retrieval.documents"] = found
    elif not call.get("parent_id"):
        attributes["watchkeeper.input"] = exchange.words(inputs)
        attributes["watchkeeper.response"] = exchange.words(call.get("output"))
    return reading.span_of(
        remote_trace_id=call["trace_id"],
        remote_id=call["id"],
        remote_parent=call.get("parent_id"),
        name=name,
        start_ns=start,
        end_ns=end,
        error=reading.error_type(call.get("exception")),
        attributes={**attributes, "watchkeeper.kind": kind},
    )


def _kind(name: str, said: Any) -> str | None:
    """What the op was declared as; of the others, those whose names Weave's own integrations give."""
    if isinstance(said, str):
        return _KINDS.get(said.lower())
    lower = name.lower()
    if _INFERENCE.match(name):
        return "call"
    if lower.startswith("langchain.tool"):
        return "tool_call"
    return "retrieval" if lower.rpartition(".")[2].startswith("retriev") or "langchain.retriev" in lower else None


def _call(call: Mapping[str, Any], name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    summary = _mapping(call.get("summary"))
    usage, costs = _mapping(summary.get("usage")), _mapping(_mapping(summary.get("weave")).get("costs"))
    model = next(iter(usage), None) if len(usage) == 1 else None
    asked, answered = exchange.asked(inputs), exchange.answered(call.get("output"))
    parts = ("prompt_tokens_total_cost", "completion_tokens_total_cost")
    provider = name.partition(".")[0].lower()
    return {
        "gen_ai.response.model": model,
        **asked,
        **answered,
        **(token_counts.reported(usage.get(model or "")) or token_counts.usage_in(call.get("output"))),
        "gen_ai.provider.name": None if provider in ("litellm", "langchain", "instructor", name.lower()) else provider,
        "watchkeeper.cost_usd": token_counts.dollars(
            *(_mapping(c).get(part) for c in costs.values() for part in parts)
        ),
    }


def _named(given: dict[str, Any]) -> dict[str, Any]:
    """Weave has no names for these; those its guides use are taken out of the attributes, the rest stays."""
    environment, release = (
        next((given.pop(name) for name in _NAMED[of] if given.get(name)), None) for of in ("environment", "release")
    )
    return {"deployment.environment.name": environment, "service.version": release, "metadata": given or None}


def _feedback(given: Any, counts: Counter[str]) -> list[Feedback]:
    found: list[Feedback] = []

    def take(item: Mapping[str, Any]) -> None:
        kind, payload = str(reading.required(item, "feedback_type", "feedback type")), _mapping(item.get("payload"))
        at = item.get("created_at")
        if kind == _TYPE:
            return
        if kind.startswith(("wandb.runnable", "wandb.agent_monitor")):
            raise reading.Unusable("score of an evaluator there")
        if kind.startswith("wandb.reaction"):
            emoji = payload.get("detoned") or payload.get("emoji")
            thumb = _THUMBS.get(str(emoji))
            found.append(reading.said_of("reaction" if thumb is None else "thumb", thumb or emoji, at=at))
        elif kind.startswith("wandb.note"):
            found.append(reading.said_of("note", None, comment=payload.get("note"), at=at))
        else:
            name = kind.removeprefix("wandb.annotation.")
            found.append(reading.said_of(name, payload.get("value", payload), at=at))

    reading.take_each(given if isinstance(given, list) else [], take, counts)
    return found


def _op(name: Any) -> str:
    """The op's name out of `weave:///entity/project/op/NAME:DIGEST`."""
    _, inside, rest = str(name or "").partition("/op/")
    return (rest.rpartition(":")[0] or rest) if inside else str(name or "")


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
