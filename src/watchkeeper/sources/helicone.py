"""Helicone: requests of its ClickHouse query, their bodies behind the signed addresses it gives.

Facts: its server's source. A logged request is one inference, or one use of a tool or a vector database. Its columns'
prompt tokens do not include cached ones, nor its completion tokens the reasoning ones, which have no column: so the
answer's own report comes first. A cost of 0 means that there is no price. Scores are whole numbers, and of two writes
to one request that come close together the later replaces the earlier, so all of a request's scores go in one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from urllib.parse import quote, urlsplit

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability.otlp import Span
from watchkeeper.observability.readers import structure
from watchkeeper.observability.request import Feedback
from watchkeeper.sources import exchange, reading, token_counts
from watchkeeper.sources.http import Api, NotJson, Pace, SourceFailed
from watchkeeper.sources.interface import Page, Remote, Said, Score, SourceConfig, Window

_LIMIT, _AT_ONCE = 1000, 8
_MARK, _THUMB, _IS_BOOLEAN = "watchkeeper-", "helicone-score-feedback", "-hcone-bool"
_STATUSES = {-2: "pending", -3: "cancelled", -4: "prompt_threat"}
_NAMED = {
    "watchkeeper.route": ("route", "helicone-session-name"),
    "watchkeeper.segment": ("segment",),
    "watchkeeper.job.id": ("job_id", "job-id", "jobid"),
    "session.id": ("helicone-session-id", "session_id"),
    "deployment.environment.name": ("environment", "env"),
    "service.version": ("release", "version"),
}


class Helicone:
    """One organisation; its key says which.

    Raises:
        Misconfigured: If the key is missing.
    """

    def __init__(self, config: SourceConfig, pace: Pace | None = None) -> None:
        if not config.key:
            raise Misconfigured(f"sources.{config.name}: Helicone needs api_key_env (sk-helicone-…)")
        self._name, self._web = config.name, web_address(config.base_url)
        self._api = Api(
            name=config.name, base_url=config.base_url, headers={"authorization": f"Bearer {config.key}"},
            secrets=(config.key,), timeout_s=config.timeout_s, pace=pace,
        )  # fmt: skip

    def pages(self, window: Window) -> Iterator[Page]:
        """Requests that were made in the window, oldest first, with what users said about them.

        An offset would drift while rows arrive. So each page begins again at the newest time seen, and what
        the page before held is passed over; offsets only count among requests of one and the same time.
        """
        since, until = reading.around(window)
        offset, seen = 0, frozenset[Any]()
        while True:
            rows = self._query(since, until, offset)
            fresh = [row for row in rows if not isinstance(row, Mapping) or row.get("request_id") not in seen]
            yield self._page(window, fresh)
            if len(rows) < _LIMIT:
                return
            seen = frozenset(str(row.get("request_id")) for row in rows if isinstance(row, Mapping))
            newest = max((at for row in rows if (at := _created(row)) is not None), default=None)
            offset += len(rows)
            if newest is not None and (last := reading.iso(newest)) > since:
                since, offset = last, 0

    def push(self, scores: Sequence[Score]) -> None:
        """Leave scores as whole numbers from 0 to 100, half to even; a name's second score replaces its first."""
        by_request: dict[str, dict[str, int]] = defaultdict(dict)
        for score in scores:
            hundredths = (Decimal(str(score.value)) * 100).to_integral_value(rounding=ROUND_HALF_EVEN)
            by_request[score.remote.remote_id][_MARK + score.name] = int(hundredths)
        for request, given in by_request.items():
            self._api.post(f"/v1/request/{quote(request, safe='')}/score", {"scores": given})

    def _query(self, since: str, until: str, offset: int) -> list[Any]:
        bounds = [{"request_response_rmt": {"request_created_at": each}} for each in ({"gte": since}, {"lt": until})]
        answer = self._api.post("/v1/request/query-clickhouse", {
            "filter": {"left": bounds[0], "operator": "and", "right": bounds[1]}, "offset": offset, "limit": _LIMIT,
            "sort": {"created_at": "asc"}, "includeInputs": False,
        })  # fmt: skip
        if isinstance(answer, Mapping) and answer.get("error"):
            raise SourceFailed(f"{self._name}: could not answer the query: {str(answer['error'])[:200]}")
        return reading.listed(answer, "data", self._name)

    def _page(self, window: Window, rows: list[Any]) -> Page:
        spans: list[Span] = []
        roots: list[Remote] = []
        said: list[Said] = []
        counts: Counter[str] = Counter()
        bodies = self._bodies(window, rows, counts)

        def take(row: Mapping[str, Any]) -> None:
            remote = str(reading.required(row, "request_id", "id"))
            start = _start(row)
            if not reading.within(window, start):
                return
            span = _span(row, start, bodies.get(remote, {}))
            spans.append(span)
            url = None if self._web is None else f"{self._web}/requests?requestId={quote(remote)}"
            roots.append(Remote(
                trace_id=span.trace_id, span_id=span.span_id, remote_trace_id=remote, remote_id=remote, url=url,
            ))  # fmt: skip
            said.extend(Said(trace_id=span.trace_id, feedback=each) for each in _feedback(row))

        reading.take_each(rows, take, counts)
        return Page(spans=spans, roots=roots, feedback=said, counts=counts)

    def _bodies(self, window: Window, rows: list[Any], counts: Counter[str]) -> dict[str, Mapping[str, Any]]:
        """Request id -> its two bodies; one that is gone costs the texts only."""
        wanted = {
            row["request_id"]: row["signed_body_url"]
            for row in rows
            if isinstance(row, Mapping) and isinstance(row.get("request_id"), str) and row.get("signed_body_url")
            and (at := _created(row)) is not None and reading.within(window, reading.ns_of(at))
        }  # fmt: skip
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = dict(zip(wanted, pool.map(self._body, wanted.values()), strict=True))
        counts.update("texts whose body is gone" for body in found.values() if body is None)
        return {remote: body for remote, body in found.items() if body is not None}

    def _body(self, url: Any) -> Mapping[str, Any] | None:
        if not _is_address(url):
            return None
        try:
            body = self._api.fetch(url)
        except NotJson:  # a page that says why not
            return None
        except SourceFailed:  # a store that is down: the texts are there when it is up again
            raise
        except Exception:  # deleted, refused because the signature is too old, or no address at all
            return None
        return body if isinstance(body, Mapping) else None


def _span(row: Mapping[str, Any], start: int, body: Mapping[str, Any]) -> Span:
    remote, delay, status = str(row["request_id"]), row.get("delay_ms"), row.get("response_status")
    ended = reading.instant_ns(row.get("response_created_at"))
    if isinstance(delay, int | float) and not isinstance(delay, bool) and delay >= 0:
        ended = start + round(delay * 1e6)
    if ended is None or status == -2:
        raise reading.Unusable("not finished")
    sent, got = (_texts(row, body, of) for of in ("request", "response"))
    attributes = {**_of_request(row), **_of_kind(row, sent, got)}
    failed = isinstance(status, int) and (status >= 400 or status < 0)
    return reading.span_of(
        remote_trace_id=remote,
        remote_id=remote,
        remote_parent=None,
        name=attributes["gen_ai.request.model"] or "request",
        start_ns=start,
        end_ns=ended,
        error=_STATUSES.get(int(status or 0), str(status) if int(status or 0) >= 400 else "error") if failed else None,
        attributes=attributes,
    )


def _of_kind(row: Mapping[str, Any], sent: Any, got: Any) -> dict[str, Any]:
    """Helicone's own loggers write what is no inference with a `_type`."""
    given = sent if isinstance(sent, Mapping) else {}
    if given.get("_type") == "tool":
        return {
            "watchkeeper.kind": "tool_call",
            "gen_ai.request.model": None,
            "gen_ai.tool.name": given.get("toolName"),
            "gen_ai.tool.call.arguments": given.get("input"),
            "gen_ai.tool.call.result": got,
        }
    if given.get("_type") == "vector_db" and (found := exchange.documents(got)) is not None:
        return {"watchkeeper.kind": "retrieval", "gen_ai.request.model": None, "gen_ai.retrieval.documents": found}
    ttft = row.get("time_to_first_token")
    asked, answered = exchange.asked(sent), exchange.answered(got)
    if isinstance(got, Mapping) and "error" in got:
        answered.pop("gen_ai.output.messages", None)
    return {
        **asked,
        **answered,
        **(token_counts.usage_in(got) or _columns(row)),
        "watchkeeper.kind": "call",
        "gen_ai.provider.name": str(row["provider"]).lower() if row.get("provider") else None,
        "gen_ai.request.model": row.get("request_model") or row.get("model") or asked.get("gen_ai.request.model"),
        "gen_ai.response.model": answered.get("gen_ai.response.model") or row.get("response_model"),
        "ai.response.msToFirstChunk": ttft if isinstance(ttft, int | float) and ttft > 0 else None,
        "watchkeeper.cost_usd": token_counts.dollars(row.get("cost") or row.get("costUSD") or None),
    }


def _columns(row: Mapping[str, Any]) -> dict[str, int]:
    return token_counts.disjoint(
        input=row.get("prompt_tokens"),
        output=row.get("completion_tokens"),
        cache_read=row.get("prompt_cache_read_tokens"),
        cache_write=row.get("prompt_cache_write_tokens"),
    )


def _of_request(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the request; `user_id` is a name the privacy policy hashes."""
    given = {**_mapping(row.get("request_properties")), **_mapping(row.get("properties"))}
    by_name = {key.lower(): key for key in given}
    found: dict[str, Any] = {}
    for attribute, names in _NAMED.items():
        if (name := next((by_name[each] for each in names if given.get(by_name.get(each, ""))), None)) is not None:
            found[attribute] = given.pop(name)
    prompt = given.pop("Helicone-Prompt-Id", None)
    return found | {
        "watchkeeper.prompt.id": row.get("prompt_id") or prompt,
        "watchkeeper.prompt.version": row.get("prompt_version") or None,
        "user_id": row.get("request_user_id") or None,
        "metadata": given or None,
    }


def _feedback(row: Mapping[str, Any]) -> list[Feedback]:
    """Ours are known by their names; a thumb has a name of its own."""
    given = {name: _mapping(value).get("value", value) for name, value in _mapping(row.get("scores")).items()}
    thumb = given.pop(_THUMB, row.get("feedback_rating"))
    found = [
        reading.said_of(name.removesuffix(_IS_BOOLEAN), bool(value) if name.endswith(_IS_BOOLEAN) else value)
        for name, value in given.items()
        if not name.startswith(_MARK)
    ]
    if thumb is not None:
        found.insert(0, reading.said_of("thumb", 1 if int(thumb) else -1, at=row.get("feedback_created_at")))
    return found


def _texts(row: Mapping[str, Any], body: Mapping[str, Any], of: str) -> Any:
    """Small bodies are in the row itself; in the place of the others it has a word from Helicone."""
    inside = structure(row.get(f"{of}_body"))
    placeholder = isinstance(inside, Mapping) and "helicone_message" in inside
    return structure(body.get(of)) if body else None if placeholder else inside or None


def _is_address(url: Any) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname)
    except (ValueError, TypeError, AttributeError):
        return False


def _created(row: Any) -> Any:
    return reading.moment(row.get("request_created_at")) if isinstance(row, Mapping) else None


def _start(row: Mapping[str, Any]) -> int:
    return reading.start_of(row, "request_created_at")


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def web_address(base_url: str) -> str | None:
    """Where people see what an API's address serves; None for a server of one's own, which may serve it anywhere."""
    host = urlsplit(base_url).netloc
    return {"api.helicone.ai": "https://us.helicone.ai", "eu.api.helicone.ai": "https://eu.helicone.ai"}.get(host)
