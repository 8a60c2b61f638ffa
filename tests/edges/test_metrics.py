"""GET /metrics: what a Prometheus parser reads out of it equals what was stored, on both engines."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from starlette.testclient import TestClient

from watchkeeper.app import App
from watchkeeper.database.engine import Store, open_store
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents import service as incidents
from watchkeeper.incidents.reconcile import Scope
from watchkeeper.observability import service
from watchkeeper.observability.wire import request_of
from watchkeeper.settings import load_settings
from watchkeeper.web import metrics as page
from watchkeeper.web.server import make_server

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
Labels = frozenset[tuple[str, str]]


@pytest.fixture
def client(tmp_path: Path, store: Store) -> TestClient:
    config = tmp_path / "watchkeeper.toml"
    config.write_text("")
    return TestClient(
        make_server(App(settings=load_settings(config), store=store, clock=FrozenClock(NOW), root=tmp_path))
    )


def stored(store: Store, *raw: dict[str, Any]) -> None:
    """Requests of a minute ago, numbered, with what is given."""
    known = service.stock(store).total
    at = (NOW - timedelta(minutes=1)).isoformat()
    service.import_requests(
        store,
        [
            request_of({"trace_id": f"{known + n:032x}", "started_at": at, "route": "answers", **each})
            for n, each in enumerate(raw, 1)
        ],
    )


def scraped(client: TestClient) -> dict[str, dict[Labels, float]]:
    """Sample name -> its labels -> value, as Prometheus reads them."""
    answer = client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
    found: dict[str, dict[Labels, float]] = {}
    for family in parser.text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def values(found: dict[str, dict[Labels, float]], name: str) -> dict[tuple[str, ...], float]:
    """The label values of one sample name, in the order of the labels' names -> value."""
    return {tuple(v for _, v in sorted(labels)): n for labels, n in found.get(f"watchkeeper_{name}", {}).items()}


def test_an_empty_store_has_no_figure_that_was_not_measured(client: TestClient) -> None:
    found = scraped(client)
    assert values(found, "build_info") == {("0.1.0",): 1}
    assert values(found, "outbox_messages") == {("waiting",): 0, ("failed",): 0}
    for name in ("requests_last_hour", "cost_last_hour_usd", "newest_request_timestamp_seconds", "open_incidents"):
        assert values(found, name) == {}
    assert found["process_start_time_seconds"][frozenset()] > 0


def test_requests_and_errors_are_counted_by_route(client: TestClient, store: Store) -> None:
    stored(store, {}, {}, {"error_type": "timeout"}, {"route": "search", "error_type": "timeout"})
    found = scraped(client)
    assert values(found, "requests_last_hour") == {("answers",): 3, ("search",): 1}
    assert values(found, "request_errors_last_hour") == {("timeout", "answers"): 1, ("timeout", "search"): 1}


def test_calls_tokens_and_cost_are_added_by_route_and_model(client: TestClient, store: Store) -> None:
    usage = {"input": 100, "cache_read": 40, "output": 50, "reasoning": 20}
    stored(
        store,
        {"calls": [{"model_requested": "a", "model_served": "a-1", "usage": usage, "cost_usd": 0.1}]},
        {"calls": [{"model_requested": "a", "model_served": "a-1", "usage": usage, "cost_usd": 0.2}, {}]},
        {"calls": [{"model_requested": "b", "error_type": "rate_limited"}, {"model_requested": "b"}]},
    )
    found = scraped(client)
    assert values(found, "calls_last_hour") == {("a-1", "answers"): 2, ("unknown", "answers"): 1, ("b", "answers"): 2}
    assert values(found, "cost_last_hour_usd") == {("a-1", "answers"): 0.3}
    assert values(found, "unpriced_calls_last_hour") == {
        ("a-1", "answers"): 0, ("unknown", "answers"): 1, ("b", "answers"): 1,
    }  # fmt: skip
    assert values(found, "call_errors_last_hour") == {("rate_limited", "b", "answers"): 1}
    assert values(found, "tokens_last_hour") == {
        ("a-1", "answers", "input"): 120, ("a-1", "answers", "cache_read"): 80,
        ("a-1", "answers", "output"): 60, ("a-1", "answers", "reasoning"): 40,
    }  # fmt: skip


def test_a_histogram_counts_what_was_measured_and_a_boundary_belongs_below(client: TestClient, store: Store) -> None:
    stored(store, {"latency_ms": 160}, {"latency_ms": 160.001}, {"latency_ms": 99_000, "ttft_ms": 5}, {})
    found = scraped(client)
    buckets = values(found, "request_latency_last_hour_seconds_bucket")
    counts = {end: buckets[end, "answers"] for end in ("0.08", "0.16", "0.32", "81.92", "+Inf")}
    assert counts == {"0.08": 0, "0.16": 1, "0.32": 2, "81.92": 2, "+Inf": 3}
    assert values(found, "request_latency_last_hour_seconds_gsum") == {("answers",): pytest.approx(99.320001)}
    assert values(found, "request_latency_last_hour_seconds_gcount") == {("answers",): 3}
    assert values(found, "request_ttft_last_hour_seconds_gcount") == {("answers",): 1}
    assert len(buckets) == 15


def test_the_hour_holds_its_start_and_nothing_before_it(client: TestClient, store: Store) -> None:
    start = NOW - timedelta(hours=1)
    stored(store, {"started_at": start.isoformat()})
    stored(store, {"started_at": (start - timedelta(microseconds=1)).isoformat(), "route": "old", "calls": [{}]})
    found = scraped(client)
    assert values(found, "requests_last_hour") == {("answers",): 1}
    assert values(found, "calls_last_hour") == {}
    assert values(found, "newest_request_timestamp_seconds") == {(): start.timestamp()}


def test_open_incidents_and_the_outbox_are_there(client: TestClient, store: Store) -> None:
    found = [Finding(kind="model-gone", severity="critical", subject={"model": m}, summary="gone") for m in ("a", "b")]
    scope = Scope(kinds=frozenset({"model-gone"}))
    incidents.reconcile(store, found, scope=scope, now=NOW, first_moves={})
    assert values(scraped(client), "open_incidents") == {("model-gone", "critical"): 2}
    assert values(scraped(client), "outbox_messages") == {("waiting",): 2, ("failed",): 0}
    incidents.reconcile(store, found[:1], scope=scope, now=NOW + timedelta(days=1), first_moves={})
    assert values(scraped(client), "open_incidents") == {("model-gone", "critical"): 1}


def test_what_the_receiver_dropped_or_mended_is_a_counter_over_all_days(client: TestClient, store: Store) -> None:
    assert values(scraped(client), "intake_total") == {}
    for days, counts in ((400, {"attribute": 2}), (0, {"attribute": 1, "refused: queue full": 5})):
        service.take_pieces(store, [], counts, now=NOW - timedelta(days=days))
    assert values(scraped(client), "intake_total") == {("attribute",): 3, ("refused: queue full",): 5}


def test_hostile_names_stay_label_values(client: TestClient, store: Store) -> None:
    hostile = 'a"} 1\nwatchkeeper_build_info{version="9"} 1\n# TYPE x counter\\" naïve 😀'
    stored(store, {"route": hostile, "calls": [{"model_served": hostile}]})
    found = scraped(client)
    assert values(found, "requests_last_hour") == {(hostile,): 1}
    assert values(found, "calls_last_hour") == {(hostile, hostile): 1}
    assert values(found, "build_info") == {("0.1.0",): 1}


def test_more_names_than_may_be_labels_become_one_and_none_is_lost(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_NAMES", 2)
    stored(
        store,
        *({"route": route, "latency_ms": 1} for route in ("rare", "second", "second", "top", "top", "top", "once")),
    )
    found = scraped(client)
    assert values(found, "requests_last_hour") == {("top",): 3, ("second",): 2, ("other",): 2}
    assert values(found, "request_latency_last_hour_seconds_gcount") == {("top",): 3, ("second",): 2, ("other",): 2}
    assert values(found, "folded_names") == {("route",): 2, ("model",): 0, ("error_type",): 0}


def test_openmetrics_is_given_to_who_asks_for_it(client: TestClient, store: Store) -> None:
    stored(store, {"latency_ms": 1})
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {each.name: each.type for each in openmetrics.text_string_to_metric_families(answer.text)}
    assert families["watchkeeper_request_latency_last_hour_seconds"] == "gaugehistogram"
    assert families["watchkeeper_requests_last_hour"] == "gauge"


def test_a_store_that_fails_is_503_and_not_an_empty_page(tmp_path: Path) -> None:
    config = tmp_path / "watchkeeper.toml"
    config.write_text("")
    empty = open_store(f"sqlite:///{tmp_path}/not-set-up.db")
    app = App(settings=load_settings(config), store=empty, clock=FrozenClock(NOW), root=tmp_path)
    answer = TestClient(make_server(app)).get("/metrics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "StoreFailed")
    empty.close()
