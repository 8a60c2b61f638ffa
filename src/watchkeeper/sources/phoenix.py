"""Phoenix: OpenInference spans over its REST API, people's annotations as feedback, scores as annotations.

Its spans are OpenInference's, stored unpacked: JSON texts of a few attributes come back as one attribute a leaf, and
resource attributes do not come back at all.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from watchkeeper.foundation.clock import parse_time
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability.fields import storable_text
from watchkeeper.observability.otlp import Event, Span
from watchkeeper.observability.request import Feedback
from watchkeeper.sources.http import Api, Gone, Pace, SourceFailed
from watchkeeper.sources.interface import Page, Remote, Said, Score, SourceConfig, Window

_SPANS_A_PAGE = 500
_SPANS_A_QUESTION = 100
"""Span ids in one URL: 100 make 2.7 kB, which every proxy lets through."""

_SCORES_TOGETHER = 100

_OURS = {"pushed_by": "watchkeeper"}
"""Metadata of the annotations we leave, so that they do not come back as feedback."""

_UNPACKED = ("metadata", "tool.parameters", "llm.prompt_template.variables")
"""Attributes that were JSON objects when they were sent."""

_KINDS = {"llm": "LLM", "code": "CODE", "human": "HUMAN"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Phoenix:
    """One project of a Phoenix server.

    Args:
        config: `project` is its name or id; None is Phoenix's own default project.
    """

    def __init__(self, config: SourceConfig, pace: Pace | None = None) -> None:
        self._name, self._base_url = config.name, config.base_url.rstrip("/")
        self._project = config.project or "default"
        if set(self._project) & set("/?#"):
            raise Misconfigured(f"sources.{config.name}.project: Phoenix takes no / ? # there; write the project's id")
        self._api = Api(
            name=config.name,
            base_url=self._base_url,
            headers={"authorization": f"Bearer {config.key}"} if config.key else {},
            secrets=(config.key,),
            timeout_s=config.timeout_s,
            pace=pace,
        )

    def pages(self, window: Window) -> Iterator[Page]:
        """Spans that started in the window, newest first, with what people said about them."""
        params = {
            "start_time": window.since.isoformat(),
            "end_time": window.until.isoformat(),
            "limit": _SPANS_A_PAGE,
        }
        for found in self._listed("spans", params):
            page = Page(counts=Counter())
            spans = [span for raw in found if (span := _span(raw, page.counts)) is not None]
            page.spans = spans
            page.roots = [self._remote(span) for span in spans if span.parent_span_id is None]
            page.feedback = list(self._feedback({span.span_id: span.trace_id for span in spans}, page.counts))
            yield page

    def push(self, scores: Sequence[Score]) -> None:
        """Leave scores as annotations; the identifier makes a second push an update."""
        data = [
            {
                "span_id": score.remote.remote_id,
                "name": score.name,
                "annotator_kind": _KINDS[score.by],
                "result": {"score": score.value, "label": score.label, "explanation": score.explanation},
                "identifier": score.id,
                "metadata": _OURS,
            }
            for score in scores
        ]
        for start in range(0, len(data), _SCORES_TOGETHER):
            some = data[start : start + _SCORES_TOGETHER]
            self._api.post("/v1/span_annotations", {"data": some}, params={"sync": "true"})

    def _listed(self, what: str, params: Mapping[str, Any]) -> Iterator[list[Any]]:
        path, cursor = f"/v1/projects/{quote(self._project, safe='')}/{what}", None
        while True:
            answer = self._api.get(path, {**params, "cursor": cursor})
            if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list):
                raise SourceFailed(f"{self._name}: answered without a list of {what}; is base_url a Phoenix server?")
            yield answer["data"]
            if (following := answer.get("next_cursor")) is None:
                return
            if following == cursor:
                raise SourceFailed(f"{self._name}: gave the same page of {what} twice; try again")
            cursor = following

    def _remote(self, span: Span) -> Remote:
        return Remote(
            trace_id=span.trace_id,
            span_id=span.span_id,
            remote_trace_id=span.trace_id,
            remote_id=span.span_id,
            url=f"{self._base_url}/redirects/traces/{span.trace_id}",
        )

    def _feedback(self, traces: Mapping[str, str], counts: Counter[str]) -> Iterator[Said]:
        """People's annotations of these spans: span id -> trace id."""
        span_ids = sorted(traces)
        for start in range(0, len(span_ids), _SPANS_A_QUESTION):
            params = {"span_ids": span_ids[start : start + _SPANS_A_QUESTION], "limit": 1000}
            try:
                for found in self._listed("span_annotations", params):
                    for raw in found:
                        said = _said(raw, counts)
                        if said is not None and raw.get("span_id") in traces:
                            yield Said(trace_id=traces[raw["span_id"]], feedback=said)
            except Gone:  # those spans were deleted in between
                continue


def _span(raw: Any, counts: Counter[str]) -> Span | None:
    context = raw.get("context") if isinstance(raw, Mapping) else None
    context = context if isinstance(context, Mapping) else {}
    trace_id, span_id = _hex(context.get("trace_id"), 32), _hex(context.get("span_id"), 16)
    start, end = (_nanoseconds(raw.get(key)) if context else None for key in ("start_time", "end_time"))
    for why, missing in (("trace id", trace_id), ("span id", span_id), ("time", start), ("time", end)):
        if missing is None:
            counts[f"rejected: {why}"] += 1
            return None
    assert trace_id is not None
    assert span_id is not None
    assert start is not None
    assert end is not None
    attributes = _attributes(raw.get("attributes"))
    if isinstance(kind := raw.get("span_kind"), str) and kind != "UNKNOWN":
        attributes["openinference.span.kind"] = kind
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=_hex(raw.get("parent_id"), 16),
        name=storable_text(str(raw.get("name") or "")),
        start_ns=start,
        end_ns=end,
        error=raw.get("status_code") == "ERROR",
        status_message=storable_text(str(raw.get("status_message") or "")),
        resource={},
        scope="",
        attributes=attributes,
        events=tuple(_events(raw.get("events"), counts)),
    )


def _attributes(given: Any) -> dict[str, Any]:
    """The attributes as they were sent."""
    found: dict[str, Any] = {}
    packed: dict[str, dict[str, Any]] = {}
    for name, value in given.items() if isinstance(given, Mapping) else ():
        whole = next((each for each in _UNPACKED if name.startswith(f"{each}.")), None)
        if whole is None:
            found[name] = value
        elif not _placed(packed.setdefault(whole, {}), name[len(whole) + 1 :].split("."), value):
            found[name] = value  # a key with a dot of its own, in the way of another
    return found | {name: _with_lists(inside) for name, inside in packed.items()}


def _placed(inside: dict[str, Any], path: Sequence[str], value: Any) -> bool:
    for step in path[:-1]:
        inside = inside.setdefault(step, {})
        if not isinstance(inside, dict):
            return False
    return inside.setdefault(path[-1], value) is value


def _with_lists(value: Any) -> Any:
    """Objects whose keys count from 0 were lists."""
    if not isinstance(value, dict):
        return value
    if list(value) == [str(place) for place in range(len(value))]:
        return [_with_lists(each) for each in value.values()]
    return {key: _with_lists(each) for key, each in value.items()}


def _events(given: Any, counts: Counter[str]) -> Iterator[Event]:
    for each in given if isinstance(given, list) else ():
        at = _nanoseconds(each.get("timestamp")) if isinstance(each, Mapping) else None
        if at is None or not isinstance(each.get("name"), str):
            counts["event"] += 1
            continue
        yield Event(each["name"], at, _attributes(each.get("attributes")))


def _said(raw: Any, counts: Counter[str]) -> Feedback | None:
    """What a person said; None for models, code and ourselves."""
    if not isinstance(raw, Mapping) or raw.get("annotator_kind") != "HUMAN":
        return None
    metadata = raw.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("pushed_by") == _OURS["pushed_by"]:
        return None
    result = raw.get("result")
    result = result if isinstance(result, Mapping) else {}
    value = result.get("score") if result.get("score") is not None else result.get("label")
    comment, at = result.get("explanation"), _time(raw.get("updated_at"))
    if value is None and comment is None:
        counts["annotation without a word"] += 1
        return None
    return Feedback(
        kind=storable_text(str(raw.get("name") or "annotation"))[:500],
        value=storable_text(value) if isinstance(value, str) else value,
        comment=storable_text(comment) if isinstance(comment, str) else None,
        at=at,
    )


def _hex(value: Any, digits: int) -> str | None:
    if not isinstance(value, str) or len(value) != digits or not value.strip("0"):
        return None
    try:
        return bytes.fromhex(value).hex()
    except ValueError:
        return None


def _time(value: Any) -> datetime | None:
    try:
        return parse_time(value)
    except (ValueError, TypeError):
        return None


def _nanoseconds(value: Any) -> int | None:
    at = _time(value)
    return None if at is None or at <= _EPOCH else (at - _EPOCH) // timedelta(microseconds=1) * 1000
