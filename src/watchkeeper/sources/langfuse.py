"""Langfuse: observations and scores of its public API; where a self-hosted server lacks an endpoint, by its old one.

Facts: the API's own definition. Usage types do not overlap there (all that hold "input" in their name are summed up
as input); a score is replaced only by one of the same id and the same timestamp.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from watchkeeper.foundation.clock import SystemClock, format_time
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability.otlp import Span
from watchkeeper.observability.readers import structure
from watchkeeper.sources import exchange, reading, token_counts
from watchkeeper.sources.http import Api, Gone, Pace
from watchkeeper.sources.interface import Page, Remote, Said, Score, SourceConfig, Window, trace_id_of

_OBSERVATIONS, _SCORES, _OLD = 1000, 100, 100
_FIELDS = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context"
_EXPANDED = "segment,route,job_id,session_id"
_INSTRUMENTATION = ("resourceAttributes", "scope")
_MARK = "watchkeeper"


class Langfuse:
    """One Langfuse project; its keys say which.

    Raises:
        Misconfigured: If one of its two keys is missing.
    """

    def __init__(self, config: SourceConfig, pace: Pace | None = None) -> None:
        if not config.public_key or not config.key:
            raise Misconfigured(f"sources.{config.name}: Langfuse needs public_key_env (pk-…) and api_key_env (sk-…)")
        self._name, self._base = config.name, config.base_url.rstrip("/")
        self._api = Api(
            name=config.name, base_url=config.base_url, headers={"accept": "application/json"},
            auth=(config.public_key, config.key), timeout_s=config.timeout_s, pace=pace,
            secrets=(config.key, b64encode(f"{config.public_key}:{config.key}".encode()).decode(), config.public_key),
        )  # fmt: skip

    def pages(self, window: Window) -> Iterator[Page]:
        """Observations that started in the window, then scores given in it."""
        yield from reading.first_there(self._observations(window), self._old_observations(window))
        old = (self._old_scores(path, window) for path in ("/api/public/v2/scores", "/api/public/scores"))
        yield from reading.first_there(self._scores(window), *old)

    def push(self, scores: Sequence[Score]) -> None:
        """Leave scores as NUMERIC ones of the observation; those that are there are replaced."""
        for start in range(0, len(scores), _SCORES):
            some = scores[start : start + _SCORES]
            given = self._timestamps([score.id for score in some])
            for score in some:
                self._api.post("/api/public/scores", _pushed(score, given.get(score.id)))

    def _observations(self, window: Window) -> Iterator[Page]:
        cursor, (since, until) = None, reading.around(window)
        while True:
            answer = self._api.get("/api/public/v2/observations", {
                "fields": _FIELDS, "expandMetadata": _EXPANDED, "limit": _OBSERVATIONS, "cursor": cursor,
                "fromStartTime": since, "toStartTime": until,
            })  # fmt: skip
            yield self._page(window, reading.listed(answer, "data", self._name), {})
            if (cursor := reading.new_cursor(_meta(answer).get("cursor"), cursor, self._name)) is None:
                return

    def _old_observations(self, window: Window) -> Iterator[Page]:
        """Servers before v2: what belongs to the whole trace is listed apart, and joined here."""
        since, until = reading.around(window)
        between = {"fromTimestamp": since, "toTimestamp": until}
        traces = {
            trace["id"]: trace
            for items in self._numbered("/api/public/traces", between)
            for trace in items
            if isinstance(trace, Mapping) and isinstance(trace.get("id"), str)
        }
        for items in self._numbered("/api/public/observations", {"fromStartTime": since, "toStartTime": until}):
            yield self._page(window, items, traces)

    def _numbered(self, path: str, params: Mapping[str, str]) -> Iterator[list[Any]]:
        page, pages = 1, 1
        while page <= pages:
            answer = self._api.get(path, {**params, "page": page, "limit": _OLD})
            yield reading.listed(answer, "data", self._name)
            pages = int(_meta(answer).get("totalPages") or 0)
            page += 1

    def _page(self, window: Window, items: list[Any], traces: Mapping[str, Mapping[str, Any]]) -> Page:
        spans: list[Span] = []
        roots: list[Remote] = []
        counts: Counter[str] = Counter()

        def take(item: Mapping[str, Any]) -> None:
            remote_trace, remote = (reading.required(item, *of) for of in (("traceId", "trace id"), ("id", "id")))
            if not reading.within(window, reading.start_of(item, "startTime")):
                return
            root = item.get("isRootObservation") is True or not item.get("parentObservationId")
            spans.append(span := _span(item, traces.get(str(remote_trace), {}) if root else {}, root, counts))
            if root:
                url = f"{self._base}/trace/{remote_trace}"
                if isinstance(project := item.get("projectId"), str):
                    url = f"{self._base}/project/{project}/traces/{remote_trace}"
                roots.append(Remote(
                    trace_id=span.trace_id, span_id=span.span_id, remote_trace_id=str(remote_trace),
                    remote_id=str(remote), url=url,
                ))  # fmt: skip

        reading.take_each(items, take, counts)
        return Page(spans=spans, roots=roots, counts=counts)

    def _scores(self, window: Window) -> Iterator[Page]:
        cursor, (since, until) = None, reading.around(window)
        while True:
            answer = self._api.get("/api/public/v3/scores", {
                "fields": "details,subject", "limit": _SCORES, "cursor": cursor,
                "fromTimestamp": since, "toTimestamp": until,
            })  # fmt: skip
            yield _feedback(reading.listed(answer, "data", self._name))
            if (cursor := reading.new_cursor(_meta(answer).get("cursor"), cursor, self._name)) is None:
                return

    def _old_scores(self, path: str, window: Window) -> Iterator[Page]:
        since, until = reading.around(window)
        for items in self._numbered(path, {"fromTimestamp": since, "toTimestamp": until}):
            yield _feedback(items)

    def _timestamps(self, ids: Sequence[str]) -> dict[str, str]:
        """Those of the scores that are there already: without them a second push would leave a second score."""
        wanted = ",".join(ids)
        for path, params in (
            ("/api/public/v3/scores", {"id": wanted, "limit": _SCORES}),
            ("/api/public/v2/scores", {"scoreIds": wanted, "limit": _SCORES}),
        ):
            try:
                found = reading.listed(self._api.get(path, params), "data", self._name)
            except Gone:
                continue
            return {
                each["id"]: each["timestamp"] for each in found if isinstance(each, Mapping) and "timestamp" in each
            }
        return {}


def _span(item: Mapping[str, Any], trace: Mapping[str, Any], root: bool, counts: Counter[str]) -> Span:
    start, kind = reading.start_of(item, "startTime"), str(item.get("type") or "SPAN").lower()
    end = start if kind == "event" else reading.instant_ns(item.get("endTime"))
    if end is None:
        raise reading.Unusable("not finished")
    attributes: dict[str, Any] = {
        "watchkeeper.prompt.id": item.get("promptName"),
        "watchkeeper.prompt.version": item.get("promptVersion"),
        "deployment.environment.name": item.get("environment"),
        "metadata": _metadata(item),
    }
    if kind == "generation":
        attributes |= _call(item)
    elif kind == "retriever" and (found := exchange.documents(item.get("output"))) is None:
        counts["retrievals that do not name their documents"] += 1
        kind = "span"
    elif kind == "retriever":
        attributes["gen_ai.retrieval.documents"] = found
    elif kind == "tool":
        attributes |= {
            "gen_ai.tool.name": item.get("name"),
            "gen_ai.tool.call.arguments": structure(item.get("input")),
            "gen_ai.tool.call.result": structure(item.get("output")),
        }
    if root:
        attributes |= _of_trace(item, trace, speaks=kind in ("span", "agent", "chain"))
    failed = item.get("level") == "ERROR"
    return reading.span_of(
        remote_trace_id=item["traceId"],
        remote_id=item["id"],
        remote_parent=item.get("parentObservationId"),
        name=item.get("name"),
        start_ns=start,
        end_ns=end,
        error=reading.error_type(item.get("statusMessage") or "error") if failed else None,
        attributes={**attributes, "langfuse.observation.type": kind},
    )


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    """The seconds to the first token are rounded to microseconds, as they were measured."""
    ttft = item.get("timeToFirstToken")
    known = isinstance(ttft, int | float) and not isinstance(ttft, bool)
    # Langfuse keeps one model: the one that answered, or was asked when none did.
    model = "gen_ai.request.model" if item.get("level") == "ERROR" else "gen_ai.response.model"
    return {
        **exchange.asked(item.get("input")),
        **exchange.answered(item.get("output")),
        **_tokens(item.get("usageDetails") or item.get("usage")),
        model: item.get("providedModelName") or item.get("model"),
        "langfuse.observation.model.parameters": item.get("modelParameters"),
        "langfuse.observation.completion_start_time": None if known else item.get("completionStartTime"),
        "ai.response.msToFirstChunk": round(ttft * 1000, 3) if known and ttft is not None else None,
        "watchkeeper.cost_usd": _cost(item),
    }


def _of_trace(item: Mapping[str, Any], trace: Mapping[str, Any], *, speaks: bool) -> dict[str, Any]:
    """What is said of the whole request; `user_id` is a name the privacy policy hashes."""
    both = {**{key: value for key, value in item.items() if value is not None}, "traceName": item.get("traceName")}
    found = {
        "watchkeeper.route": both["traceName"] or trace.get("name"),
        "session.id": both.get("sessionId") or trace.get("sessionId"),
        "service.version": both.get("release") or trace.get("release") or both.get("version") or trace.get("version"),
        "user_id": both.get("userId") or trace.get("userId"),
        "tags": both.get("tags") or trace.get("tags") or None,
    }
    if speaks:
        found["watchkeeper.input"] = exchange.words(both.get("input", trace.get("input")))
        found["watchkeeper.response"] = exchange.words(both.get("output", trace.get("output")))
    return found


def _metadata(item: Mapping[str, Any]) -> dict[str, Any] | None:
    given = structure(item.get("metadata"))
    if not isinstance(given, Mapping):
        return None
    return {key: value for key, value in given.items() if key not in _INSTRUMENTATION} or None


def _tokens(usage: Any) -> dict[str, int]:
    """Whatever has "input" in its name is input, as Langfuse adds it up; audio and other kinds too."""
    counts = {key: n for key, n in usage.items() if isinstance(n, int)} if isinstance(usage, Mapping) else {}

    def all_with(word: str, other: str) -> int | None:
        found = [n for key, n in counts.items() if word in key]
        return sum(found) if found else counts.get(other)

    def named(*names: str) -> int | None:
        return next((counts[name] for name in names if name in counts), None)

    return token_counts.inclusive(
        input=all_with("input", "prompt_tokens"),
        output=all_with("output", "completion_tokens"),
        cache_read=named("input_cached_tokens", "cache_read_input_tokens", "input_cache_read"),
        cache_write=named("input_cache_creation", "cache_creation_input_tokens", "input_cache_write_tokens"),
        reasoning=named("output_reasoning_tokens", "output_reasoning"),
    )


def _cost(item: Mapping[str, Any]) -> str | None:
    """None for a model Langfuse has no price for: it writes 0 and no details."""
    details = item.get("costDetails")
    parts = {key: value for key, value in details.items() if key != "total"} if isinstance(details, Mapping) else {}
    total = item.get("totalCost", item.get("calculatedTotalCost"))
    if not total and not details:
        return None
    return token_counts.dollars(*parts.values()) if total is None else token_counts.dollars(total)


def _feedback(items: list[Any]) -> Page:
    said: list[Said] = []
    counts: Counter[str] = Counter()

    def take(item: Mapping[str, Any]) -> None:
        metadata = item.get("metadata")
        if isinstance(metadata, Mapping) and _MARK in metadata:
            return
        if item.get("source") == "EVAL":
            raise reading.Unusable("score of an evaluator there")
        subject = item.get("subject") if isinstance(item.get("subject"), Mapping) else None
        trace = item.get("traceId")
        if subject is not None:
            trace = subject.get("id") if subject.get("kind") == "trace" else subject.get("traceId")
        if not isinstance(trace, str) or not trace:
            raise reading.Unusable("score of no trace")
        value = item.get("stringValue") if item.get("value") is None else item["value"]
        kind = reading.required(item, "name", "name")
        feedback = reading.said_of(kind, value, comment=item.get("comment"), at=item.get("timestamp"))
        said.append(Said(trace_id=trace_id_of(trace), feedback=feedback))

    reading.take_each(items, take, counts)
    return Page(feedback=said, counts=counts)


def _pushed(score: Score, timestamp: str | None) -> dict[str, Any]:
    return {
        "id": score.id,
        "traceId": score.remote.remote_trace_id,
        "observationId": score.remote.remote_id,
        "name": score.name,
        "value": score.value,
        "dataType": "NUMERIC",
        "comment": score.explanation,
        "metadata": {_MARK: {"by": score.by, "label": score.label}},
        "timestamp": timestamp or format_time(SystemClock().now()),
    }


def _meta(answer: Any) -> Mapping[str, Any]:
    found = answer.get("meta") if isinstance(answer, Mapping) else None
    return found if isinstance(found, Mapping) else {}
