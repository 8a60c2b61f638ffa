"""What `doctor` says of the records: how many, how fresh, and what the receiver did to them; how far the facts are."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchkeeper.app import App, open_app
from watchkeeper.cli.diagnosis import Line, examine
from watchkeeper.database.engine import Store
from watchkeeper.facts.service import write_settled
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.observability import service
from watchkeeper.observability.wire import request_of
from watchkeeper.settings import load_settings

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


def line_of(what: str, root: Path, store: Store) -> Line:
    config = root / "watchkeeper.toml"
    config.write_text("")
    app = App(settings=load_settings(config), store=store, clock=FrozenClock(NOW), root=root)
    return next(line for line in examine(app) if line.what == what)


def test_without_records_it_says_how_to_bring_some_in(tmp_path: Path, sqlite_store: Store) -> None:
    line = line_of("records", tmp_path, sqlite_store)
    assert (line.state, line.detail) == ("note", "none yet; watchkeeper records import FILE")


@pytest.mark.parametrize(
    ("age", "state", "said"),
    [
        (timedelta(seconds=119), "ok", "119 s ago"),
        (timedelta(seconds=120), "ok", "2 min ago"),
        (timedelta(hours=24), "ok", "24 h ago"),
        (timedelta(hours=24, seconds=1), "note", "24 h ago"),
        (timedelta(days=9), "note", "9 days ago"),
        (timedelta(seconds=-5), "ok", "ahead of this machine's clock"),
        (
            timedelta(days=-900),
            "note",
            "ahead of this machine's clock: whether requests still arrive cannot be seen by it",
        ),
    ],
)
def test_the_newest_record_is_as_old_as_it_is(
    tmp_path: Path, sqlite_store: Store, age: timedelta, state: str, said: str
) -> None:
    raw = {"trace_id": "1" * 32, "started_at": (NOW - age).isoformat(), "route": "answers"}
    service.import_requests(sqlite_store, [request_of(raw)])
    line = line_of("records", tmp_path, sqlite_store)
    assert (line.state, line.detail) == (state, f"1 requests, the newest of {(NOW - age):%Y-%m-%dT%H:%M}Z, {said}")


def test_what_the_receiver_dropped_or_mended_since_yesterday_is_told(tmp_path: Path, sqlite_store: Store) -> None:
    line = line_of("intake", tmp_path, sqlite_store)
    assert (line.state, line.detail) == ("ok", "nothing dropped, mended or refused since 2026-11-23")
    for days, count in ((0, 1), (1, 2), (2, 4)):
        service.take_pieces(sqlite_store, [], {"parent": count, "attribute": count}, now=NOW - timedelta(days=days))
    line = line_of("intake", tmp_path, sqlite_store)
    said = "since 2026-11-23: 3 x attribute, 3 x parent; docs/records.md says what each means"
    assert (line.state, line.detail) == ("note", said)


def test_facts_that_are_behind_are_said_with_the_hour_they_stop_at(tmp_path: Path, sqlite_store: Store) -> None:
    line = line_of("facts", tmp_path, sqlite_store)
    assert (line.state, line.detail) == ("ok", "0 hours written, 0.0 MB, none open")
    raw = {"trace_id": "1" * 32, "started_at": (NOW - timedelta(hours=3)).isoformat(), "route": "answers"}
    service.import_requests(sqlite_store, [request_of(raw)])
    line = line_of("facts", tmp_path, sqlite_store)
    detail = "0 hours written, 0.0 MB, the oldest open hour begins 2026-11-24T07:00Z"
    assert (line.state, line.detail) == ("note", detail)
    write_settled(sqlite_store, tmp_path / "facts", NOW)
    line = line_of("facts", tmp_path, sqlite_store)
    assert (line.state, line.detail) == ("ok", "1 hours written, 0.0 MB, none open")


def test_a_policy_that_cannot_be_kept_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "watchkeeper.toml").write_text('[privacy]\ncontent = "hashed"\nuser_id_secret_env = "NOT_SET"\n')
    with open_app(tmp_path / "watchkeeper.toml") as app:
        line = next(line for line in examine(app) if line.what == "privacy")
    assert line.state == "problem"
    assert "NOT_SET" in line.detail


def test_what_is_kept_of_whom_is_said(tmp_path: Path) -> None:
    (tmp_path / "watchkeeper.toml").write_text(
        '[providers.p]\nbase_url = "http://127.0.0.1:9/v1"\n[routes."secret"]\nmodel = "p/m"\ncontent = "none"\n'
    )
    with open_app(tmp_path / "watchkeeper.toml") as app:
        line = next(line for line in examine(app) if line.what == "privacy")
    assert (line.state, line.detail) == (
        "ok",
        "content full, secret none; addresses, phones, cards and keys masked; user ids not kept",
    )
