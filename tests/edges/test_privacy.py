"""What comes in by every door is masked before it is stored: nothing of it is in the store's file."""

import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from watchkeeper.app import App, open_app
from watchkeeper.observability import service
from watchkeeper.observability.plain import render_request
from watchkeeper.observability.redact import user_hash
from watchkeeper.web.server import make_server

TRACE = "0af7651916cd43dd8448eb211c80319c"
MAIL = "ada.lovelace@example.org"
CALL = "b7ad6b7169203331"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("SECRET", "a secret of this installation")
    (tmp_path / "watchkeeper.toml").write_text(
        '[providers.p]\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[routes."open"]\nmodel = "p/m"\n[routes."closed"]\nmodel = "p/m"\ncontent = "none"\n'
        '[privacy]\nuser_id_secret_env = "SECRET"\npatterns = {customer = "C-[0-9]{5}"}\n'
    )
    with open_app(tmp_path / "watchkeeper.toml") as opened:
        yield opened


@pytest.fixture
def http(app: App) -> Iterator[TestClient]:
    with TestClient(make_server(app)) as client:
        yield client


def attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def otlp(route: str | None) -> dict[str, Any]:
    """A request span with a call below it, as an exporter sends them."""
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"I am {MAIL}, C-12345"}]}])
    now = time.time_ns()
    root = {
        "traceId": TRACE, "spanId": "00f067aa0ba902b7", "name": "request", "kind": 1,
        "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 10**9),
        "attributes": [attribute("watchkeeper.kind", "request"), attribute("watchkeeper.input", f"from {MAIL}"),
                       *([attribute("watchkeeper.route", route)] if route else [])],
    }  # fmt: skip
    call = {
        "traceId": TRACE, "spanId": CALL, "parentSpanId": root["spanId"], "name": "chat", "kind": 3,
        "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 10**9),
        "attributes": [attribute("gen_ai.operation.name", "chat"), attribute("gen_ai.request.model", "m"),
                       attribute("gen_ai.input.messages", said)],
    }  # fmt: skip
    return {"resourceSpans": [{"scopeSpans": [{"spans": [root, call] if route else [call]}]}]}


def stored(http: TestClient) -> dict[str, Any]:
    return http.get(f"/api/requests/{TRACE}").json()  # type: ignore[no-any-return]


def in_the_store(app: App) -> str:
    """Every text of the store's file, unpacked."""
    from watchkeeper.observability import packing

    path = app.settings.store.url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        texts = [packing.read_text(row[0]) for row in connection.execute("SELECT content FROM texts")]
        spans = [str(packing.read_value(row[0])) for row in connection.execute("SELECT spans FROM traces")]
        others = [str(row) for row in connection.execute("SELECT * FROM requests")]
        others += [str(packing.read_value(row[0])) for row in connection.execute("SELECT more FROM calls")]
        others += [str(row) for row in connection.execute("SELECT * FROM calls")]
        return "\n".join([*texts, *spans, *others, *map(str, connection.execute("SELECT * FROM posted_feedback"))])


def test_a_request_is_masked(http: TestClient, app: App) -> None:
    record = {"trace_id": TRACE, "started_at": "2026-11-24T10:00:00Z", "route": "open", "input": f"{MAIL} C-12345"}
    assert http.post("/api/requests", json=record).status_code == 200
    assert stored(http)["input"] == "[email] [customer]"
    assert MAIL not in in_the_store(app)


def test_a_span_is_masked(http: TestClient, app: App) -> None:
    assert http.post("/v1/traces", json=otlp("open")).status_code == 200
    request = stored(http)
    assert request["input"] == "from [email]"
    assert "I am [email], [customer]" in json.dumps(request["calls"][0]["messages"])
    assert MAIL not in in_the_store(app)


def test_a_route_without_content_keeps_the_figures_and_no_words(http: TestClient, app: App) -> None:
    assert http.post("/v1/traces", json=otlp("closed")).status_code == 200
    request = stored(http)
    assert (request["route"], request["input"]) == ("closed", None)
    assert (request["calls"][0]["model_requested"], request["calls"][0]["latency_ms"]) == ("m", 1000.0)
    assert "I am" not in in_the_store(app)


def test_a_span_whose_route_is_not_known_yet_is_kept_by_the_strictest_policy(http: TestClient, app: App) -> None:
    assert http.post("/v1/traces", json=otlp(None)).status_code == 200
    assert "I am" not in in_the_store(app)


def test_the_words_of_feedback_are_kept_by_the_strictest_policy(http: TestClient, app: App) -> None:
    said = {"trace_id": TRACE, "kind": "thumb", "value": -1, "comment": f"write to {MAIL}"}
    assert http.post("/api/feedback", json=said).status_code == 200
    assert MAIL not in in_the_store(app)
    assert "-1" in in_the_store(app)


SECRET_WORDS = "my mother is ill"
ROOT = "00f067aa0ba902b7"


def span(span_id: str, parent: str | None, **attributes: str) -> dict[str, Any]:
    now = time.time_ns()
    return {
        "traceId": TRACE, "spanId": span_id, "name": "s", "kind": 1, **({"parentSpanId": parent} if parent else {}),
        "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 10**9),
        "attributes": [attribute(key.replace("__", "."), value) for key, value in attributes.items()],
    }  # fmt: skip


def chat(**more: str) -> dict[str, Any]:
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": SECRET_WORDS}]}])
    return span(
        CALL, ROOT, gen_ai__operation__name="chat", gen_ai__request__model="m", gen_ai__input__messages=said, **more
    )


def request_span(route: str, parent: str | None = None) -> dict[str, Any]:
    return span(ROOT, parent, watchkeeper__kind="request", watchkeeper__route=route)


def send(http: TestClient, *spans: dict[str, Any]) -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}
    assert http.post("/v1/traces", json=body).status_code == 200


@pytest.mark.parametrize("named", ["gen_ai__agent__name", "http__route", "traceloop__workflow__name"])
def test_a_name_on_an_inner_span_does_not_tell_the_route(http: TestClient, app: App, named: str) -> None:
    send(http, chat(**{named: "helper"}))
    assert SECRET_WORDS not in in_the_store(app)
    send(http, request_span("closed"))
    assert stored(http)["route"] == "closed"
    assert SECRET_WORDS not in in_the_store(app)


@pytest.mark.parametrize("together", [True, False])
def test_a_web_frameworks_span_around_a_closed_route_does_not_open_it(
    http: TestClient, app: App, together: bool
) -> None:
    spans = [chat(), request_span("closed", "1" * 16), span("1" * 16, None, http__route="/chat")]
    for some in [spans] if together else [[each] for each in spans]:
        send(http, *some)
    assert SECRET_WORDS not in in_the_store(app)
    assert stored(http)["attributes"].get("content_kept") in ("none", None)


def test_a_span_that_names_its_open_route_itself_keeps_its_words_before_the_request_has_come(
    http: TestClient, app: App
) -> None:
    send(http, chat(watchkeeper__route="open"))
    send(http, request_span("open"))
    assert SECRET_WORDS in json.dumps(stored(http))


def test_a_late_span_of_a_stored_open_request_keeps_its_words(http: TestClient, app: App) -> None:
    send(http, request_span("open"))
    send(http, chat())
    assert SECRET_WORDS in json.dumps(stored(http))


def test_words_that_were_not_kept_are_told_and_come_with_the_span_sent_again(http: TestClient, app: App) -> None:
    send(http, chat())
    send(http, request_span("open"))
    assert SECRET_WORDS not in json.dumps(stored(http))
    since = app.clock.now()
    assert service.intake_counts(app.store, since)["text withheld: route not known"] == 1
    send(http, chat())
    assert SECRET_WORDS in json.dumps(stored(http))


def test_a_comment_on_a_stored_open_request_is_kept_and_on_a_closed_one_is_not(http: TestClient, app: App) -> None:
    for route, comment in (("open", SECRET_WORDS), ("closed", None)):
        send(http, request_span(route))
        said = {"trace_id": TRACE, "kind": "thumb", "value": -1, "comment": SECRET_WORDS}
        assert http.post("/api/feedback", json=said).status_code == 200
        assert stored(http)["feedback"][0]["comment"] == comment
        service.prune(app.store, app.clock.now() + timedelta(days=1))


def test_with_hidden_content_an_error_keeps_its_name_and_no_message(http: TestClient, app: App) -> None:
    send(http, request_span("closed"), chat(error__type=f"BadRequest: {SECRET_WORDS}"))
    assert stored(http)["calls"][0]["error_type"] == "error"
    send(http, chat(error__type="openai.RateLimitError") | {"endTimeUnixNano": str(time.time_ns() + 10**10)})
    assert stored(http)["calls"][0]["error_type"] == "rate_limited"
    assert SECRET_WORDS not in in_the_store(app)


def test_a_session_that_is_an_address_still_tells_sessions_apart_and_is_none(http: TestClient, app: App) -> None:
    send(http, request_span("open") | {"attributes": [attribute("session.id", MAIL), attribute("user", "x")]})
    assert stored(http)["session_id"] == user_hash(MAIL, b"a secret of this installation")
    assert MAIL not in in_the_store(app)


def test_a_request_of_which_less_is_kept_says_so(http: TestClient, app: App) -> None:
    send(http, request_span("closed"), chat())
    found = service.request(app.store, TRACE)
    assert found.attributes["content_kept"] == "none"
    assert "words not kept (content none)" in render_request(found)


def test_why_says_whose_spans_they_are_and_that_their_words_are_not_kept(http: TestClient, app: App) -> None:
    send(http, request_span("closed"), chat(watchkeeper__attribute__pulled_from="desk"))
    [received, *_] = service.why(app.store, TRACE)
    assert received.detail == "2 spans pulled from desk: 1 call, 1 request; words not kept (content none)"
