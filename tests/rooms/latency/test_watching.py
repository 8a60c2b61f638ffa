"""Latencies on a real store: what is slow, what only became longer, what times out, what becomes of incidents."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from watchkeeper.app import App
from watchkeeper.database.engine import Store
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.incidents import service as incidents
from watchkeeper.jobs.latency import LatencyReport, check_latency
from watchkeeper.latency import service
from watchkeeper.latency.words import longer_answers
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Call, Prompt, Request, Tokens
from watchkeeper.settings import load_settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAYS, PER_HOUR = 6, 12

Change = Callable[[float], dict[str, Any]]
"""Hours before NOW -> what is different of a request then."""


@pytest.fixture
def app(tmp_path: Path, sqlite_store: Store) -> App:
    path = tmp_path / "watchkeeper.toml"
    path.write_text("")
    return App(settings=load_settings(path), store=sqlite_store, clock=FrozenClock(NOW), root=tmp_path)


def requests(seed: int, change: Change, *, route: str = "answers", days: int = DAYS) -> Iterator[Request]:
    rng = np.random.default_rng(seed)
    count = days * 24 * PER_HOUR
    for number, ago in enumerate(sorted(rng.uniform(0, days * 24, count), reverse=True)):
        values = {"slower": 1.0, "longer": 1.0, "error": None, "model": "m", "version": "1", **change(ago)}
        tokens = max(1, round(values["longer"] * rng.lognormal(5, 0.3)))
        ms = values["slower"] * values["longer"] * 1000 * rng.lognormal(0, 0.2)
        span = f"{seed:08x}{number:08x}"
        answered = values["error"] is None
        yield Request(
            trace_id=span * 2,
            span_id=span,
            started_at=NOW - timedelta(hours=ago),
            route=route,
            prompt=Prompt(id="answer", version=values["version"]),
            error_type=values["error"],
            latency_ms=ms,
            ttft_ms=200 * values["slower"] * rng.lognormal(0, 0.2) if answered else None,
            calls=[
                Call(
                    span_id=f"f{span[1:]}",
                    model_served=values["model"],
                    tokens=Tokens(input=10, output=tokens if answered else None),
                    latency_ms=ms,
                )
            ],
        )


def checked(app: App, *batches: Iterator[Request]) -> LatencyReport:
    for batch in batches:
        records.import_requests(app.store, list(batch))
    return check_latency(app)


def states(store: Store) -> dict[tuple[str, str], str]:
    return {(i.kind, " ".join(i.subject.values())): i.status for i in incidents.list_incidents(store)}


def test_a_route_as_it_always_was_is_no_finding_and_the_check_is_remembered(app: App) -> None:
    report = checked(app, requests(1, lambda _: {}))
    assert report.findings == []
    last = service.last_check(app.store)
    assert last is not None
    assert (last.checked_at, last.streams, last.compared, last.slow) == (NOW, 1, 1, 0)


def test_twice_as_slow_is_one_incident_a_route_and_model_with_the_worst_series_inside(app: App) -> None:
    report = checked(
        app,
        requests(1, lambda ago: {"slower": 2.0 if ago < 9 else 1.0}),
        requests(2, lambda _: {}, route="search"),
    )
    [finding] = report.findings
    assert (finding.kind, finding.subject) == ("latency-regression", {"route": "answers", "model": "m"})
    assert finding.evidence["worst"]["ratio"] == pytest.approx(2, rel=0.15)
    assert finding.evidence["worst"]["prompt"] == "answer@1"
    assert len(finding.evidence["others"]) == 3  # both quantiles of both durations
    assert states(app.store) == {("latency-regression", "answers m"): "firing"}


def test_it_is_over_when_it_was_not_seen_for_six_hours(app: App) -> None:
    batch = list(requests(1, lambda ago: {"slower": 2.0 if 16 <= ago < 25 else 1.0}))
    for ago, state in ((16, "firing"), (11, "firing"), (7, "firing"), (0, "resolved")):
        now = NOW - timedelta(hours=ago)
        came = [each for each in batch if each.started_at < now]
        # A hundred requests take eight hours here: so long the slow ones are still seen.
        checked(replace(app, clock=FrozenClock(now)), iter(came))
        assert states(app.store) == {("latency-regression", "answers m"): state}


def test_longer_answers_are_said_and_are_no_incident(app: App) -> None:
    def change(ago: float) -> dict[str, Any]:
        return {"longer": 2.0 if ago < 9 else 1.0}

    report = checked(app, requests(1, change))
    assert report.findings == []
    [(subject, said)] = longer_answers(report.checked)
    assert subject == {"route": "answers", "model": "m"}
    assert "answers became longer" in said
    assert states(app.store) == {}


def test_longer_answers_do_not_hide_that_each_token_takes_longer(app: App) -> None:
    report = checked(app, requests(1, lambda ago: {"longer": 1.5, "slower": 2.0} if ago < 9 else {}))
    assert [finding.kind for finding in report.findings] == ["latency-regression"]


def test_a_new_prompt_version_that_is_slower_is_found_against_the_day_before_it(app: App) -> None:
    def change(ago: float) -> dict[str, Any]:
        return {"version": "2", "slower": 1.8} if ago < 20 else {}

    assert checked(app, requests(1, change)).findings == []  # once is not twice running
    clock = app.clock
    assert isinstance(clock, FrozenClock)
    clock.advance(timedelta(hours=1))
    [finding] = check_latency(app).findings
    assert finding.evidence["worst"]["against"] == "the day before prompt version answer@2"
    assert finding.evidence["worst"]["ratio"] == pytest.approx(1.8, rel=0.1)


def test_a_new_model_is_compared_with_the_one_before_and_the_incident_names_it(app: App) -> None:
    checked(app, requests(1, lambda ago: {"model": "new", "slower": 1.8} if ago < 20 else {}))
    clock = app.clock
    assert isinstance(clock, FrozenClock)
    clock.advance(timedelta(hours=1))
    [finding] = check_latency(app).findings
    assert finding.subject == {"route": "answers", "model": "new"}


def test_a_new_version_that_is_not_slower_is_no_finding(app: App) -> None:
    checked(app, requests(1, lambda ago: {"version": "2"} if ago < 20 else {}))
    clock = app.clock
    assert isinstance(clock, FrozenClock)
    clock.advance(timedelta(hours=1))
    assert check_latency(app).findings == []


@pytest.mark.parametrize("name", ["timeout", "ReadTimeout", "deadline_exceeded", "APITimeoutError", "timed out"])
def test_more_timeouts_than_usual_are_an_incident_of_the_route(app: App, name: str) -> None:
    report = checked(app, requests(1, lambda ago: {"error": name if ago < 3 and ago % 1 < 0.6 else None}))
    timeouts = [finding for finding in report.findings if finding.kind == "timeouts"]
    assert [finding.subject for finding in timeouts] == [{"route": "answers"}]
    assert ("timeouts", "answers") in states(app.store)


def test_other_errors_are_no_timeouts_and_their_durations_no_latencies(app: App) -> None:
    report = checked(app, requests(1, lambda ago: {"error": "rate_limit", "slower": 5.0} if ago < 9 else {}))
    assert report.findings == []


def test_streams_with_few_requests_are_looked_at_together_by_route(app: App) -> None:
    def change(ago: float) -> dict[str, Any]:
        return {"version": str(int(ago * 1000) % 5), "slower": 2.0 if ago < 9 else 1.0}

    report = checked(app, requests(1, change))
    assert len(report.checked.streams) == 1
    [finding] = report.findings
    assert finding.subject == {"route": "answers"}


def test_a_stream_without_enough_past_is_said_to_have_none(app: App) -> None:
    report = checked(app, requests(1, lambda _: {}, days=1))
    assert [looked.baselines for looked in report.checked.streams.values()] == [{}]
    assert report.findings == []


def test_what_a_record_does_not_say_moves_no_other_record(app: App) -> None:
    batch = [replace(each, prompt=None) if n % 2 else each for n, each in enumerate(requests(1, lambda _: {}))]
    streams = checked(app, iter(batch)).checked.streams
    sizes = {stream.prompt: looked.baselines["latency_ms p50"].requests for stream, looked in streams.items()}
    assert sorted(sizes) == ["", "answer@1"]
    assert all(abs(size - 720) < 5 for size in sizes.values())
