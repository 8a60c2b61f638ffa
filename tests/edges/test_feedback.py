"""Feedback and resolutions over HTTP: before their request, twice, and malformed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from watchkeeper.app import App, open_app
from watchkeeper.observability import service
from watchkeeper.web.server import make_server

TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUEST = {"trace_id": TRACE, "started_at": "2026-11-24T10:00:00Z", "route": "support.answer"}
THUMB = {"trace_id": TRACE, "kind": "thumb", "value": -1, "comment": "wrong order"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    (tmp_path / "watchkeeper.toml").write_text("")
    with open_app(tmp_path / "watchkeeper.toml") as opened:
        yield opened


@pytest.fixture
def http(app: App) -> TestClient:
    return TestClient(make_server(app))


def feedback_of(http: TestClient) -> list[object]:
    return http.get(f"/api/requests/{TRACE}").json()["feedback"]  # type: ignore[no-any-return]


def test_feedback_may_come_before_its_request_and_twice(http: TestClient) -> None:
    assert [http.post("/api/feedback", json=THUMB).status_code for _ in range(2)] == [200, 200]
    assert http.post("/api/requests", json=REQUEST).status_code == 200
    expected = [{"kind": "thumb", "value": -1, "comment": "wrong order", "at": None}]
    assert feedback_of(http) == expected
    assert http.post("/api/requests", json=REQUEST).status_code == 200  # the request comes again
    assert feedback_of(http) == expected


def test_an_export_with_its_feedback_can_be_imported_where_it_came_from(http: TestClient) -> None:
    http.post("/api/requests", json=REQUEST)
    http.post("/api/feedback", json={**THUMB, "at": "2026-11-24T10:01:00Z"})
    exported = http.get(f"/api/requests/{TRACE}").json()
    http.post("/api/requests", json=exported)
    assert http.get(f"/api/requests/{TRACE}").json() == exported


def test_the_later_word_about_a_job_counts_in_whatever_order_they_come(http: TestClient, app: App) -> None:
    assert service.resolution(app.store, "ticket-991") is None
    for at, resolved in (("2026-11-24T12:00:00Z", True), ("2026-11-24T11:00:00Z", False)):
        answer = http.post("/api/resolutions", json={"job_id": "ticket-991", "resolved": resolved, "at": at})
        assert answer.status_code == 200
    assert service.resolution(app.store, "ticket-991") is True


def test_a_resolution_is_kept_on_both_engines(store) -> None:  # type: ignore[no-untyped-def]
    at = datetime(2026, 11, 24, tzinfo=UTC)
    for _ in range(2):
        service.resolve(store, "job", resolved=False, at=at)
    assert service.resolution(store, "job") is False


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/api/feedback", {"kind": "thumb", "value": 1}, 422, "trace_id"),
        ("/api/feedback", {**THUMB, "trace_id": "x"}, 422, "trace_id"),
        ("/api/feedback", {**THUMB, "value": None}, 422, "value"),
        ("/api/feedback", {"trace_id": TRACE, "value": 1}, 422, "kind"),
        ("/api/feedback", [THUMB], 422, None),
        ("/api/resolutions", {"job_id": "a"}, 422, "resolved"),
        ("/api/resolutions", {"job_id": "a", "resolved": "yes"}, 422, "resolved"),
        ("/api/resolutions", {"resolved": True}, 422, "job_id"),
        ("/api/resolutions", {"job_id": "a", "resolved": True, "at": "2026-11-24T10:00:00"}, 422, "at"),
        ("/api/resolutions", "nonsense", 400, None),
        ("/api/feedback", {**THUMB, "comment": "x" * 70_000}, 413, None),
    ],
)
def test_what_is_wrong_is_named(http: TestClient, path: str, body: object, status: int, field: str | None) -> None:
    answer = http.post(path, content=body) if isinstance(body, str) else http.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["field"] == field
    assert answer.json()["error"]["message"]
