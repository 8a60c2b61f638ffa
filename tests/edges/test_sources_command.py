"""`records pull`, `records push`, `doctor` and the scheduled pull, against a source that does as the test wants."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Done, Project
from tests.edges.phoenix_stand_in import Phoenix, phoenix_stand_in, span
from watchkeeper.app import open_app
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.incidents import service as incidents
from watchkeeper.jobs import sources

NOT_JSON = (200, dict[str, str](), "<html>")


@pytest.fixture
def server() -> Iterator[Phoenix]:
    with phoenix_stand_in() as server:
        server.spans = [span(n, datetime.now(UTC) - timedelta(minutes=10)) for n in range(1, 4)]
        yield server


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def configure(project: Project, **sections: str) -> None:
    text = "".join(f'[sources.{name}]\nkind = "phoenix"\n{lines}\n' for name, lines in sections.items())
    (project.root / "watchkeeper.toml").write_text(text)


def at(server: Phoenix, more: str = "") -> str:
    return f'base_url = "{server.url}"\nfirst_pull = "30m"\n{more}'


def line_of(done: Done) -> str:
    [line] = done.err.splitlines()
    return line


def test_a_pull_says_what_it_brought_what_it_left_out_and_up_to_when(project: Project, server: Phoenix) -> None:
    configure(project, desk=at(server))
    server.spans.append(span(9, datetime.now(UTC) - timedelta(minutes=9), end_time=None))
    done = project.run("records", "pull", "desk")
    assert done.code == 0, done.err
    first, second = done.out.splitlines()
    assert first.startswith("desk: 3 requests, 3 spans, 0 feedback on 2 pages, up to 20")
    assert second == "  left out: 1 × rejected: time"


def test_one_that_fails_does_not_stop_the_others_and_the_code_is_the_worse_one(
    project: Project, server: Phoenix
) -> None:
    configure(project, bad=at(server, 'api_key_env = "NO_SUCH_KEY"'), desk=at(server))
    done = project.run("records", "pull", "--json")
    assert done.code == 2
    bad, desk = done.json["sources"]
    assert bad == {"source": "bad", "error": "sources.bad: the environment variable NO_SUCH_KEY is not set"}
    assert (desk["error"], desk["requests"], desk["pages"], desk["left_out"]) == (None, 3, 2, {})
    server.refusals = [NOT_JSON]
    done = project.run("records", "pull", "desk", "bad")
    assert done.code == 4
    assert len(done.err.splitlines()) == 2


def test_without_a_source_it_says_which_lines_to_write(project: Project) -> None:
    configure(project)
    (project.root / "scores.jsonl").write_text(json.dumps({"trace_id": "a" * 32, "name": "n", "value": 1}))
    for command in (("pull",), ("push", "--to", "desk", "scores.jsonl")):
        done = project.run("records", *command)
        assert done.code == 5
        assert '[sources.phoenix] kind = "phoenix" base_url =' in line_of(done)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("", "sources.desk: a phoenix server is your own: write base_url"),
        ('base_url = "http://x"\nfirst_pull = "soon"', "sources.desk.first_pull: not an age: 'soon'"),
        ('base_url = "http://x"\nfirst_pull = "999999w"', "sources.desk.first_pull: is more than ten years"),
        ('base_url = "http://x"\noverlap = 5', "unknown key; did you mean 'overlap_minutes'?"),
    ],
)
def test_a_section_that_cannot_work_is_one_line(project: Project, section: str, problem: str) -> None:
    configure(project, desk=section)
    done = project.run("records", "pull")
    assert done.code == 2
    assert problem in line_of(done)


def test_a_name_that_is_no_section_is_told_with_the_nearest(project: Project, server: Phoenix) -> None:
    configure(project, desk=at(server))
    done = project.run("records", "pull", "dezk")
    assert done.code == 2
    assert "Did you mean 'desk'?" in line_of(done)


def test_good_scores_are_pushed_and_bad_lines_are_told(project: Project, server: Phoenix) -> None:
    configure(project, desk=at(server))
    project.run("records", "pull")
    good: dict[str, Any] = {"trace_id": f"{1:032x}", "name": "tone", "value": 0.5}
    lines = [good, {**good, "value": 5}, {**good, "trace_id": "b" * 32}, "{"]
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    (project.root / "scores.jsonl").write_text(text)
    for _ in range(2):
        done = project.run("records", "push", "--to", "desk", "scores.jsonl")
        assert done.code == 1
        assert done.out == "1 scores pushed to desk, 3 lines rejected\n"
        assert done.err.splitlines() == [
            "scores.jsonl:2: value: must be from 0 to 1",
            "scores.jsonl:4: not JSON",
            "scores.jsonl:3: trace_id: no request with this id was pulled from desk",
        ]
    [there] = server.annotations
    assert uuid.UUID(there["identifier"]).version == 5
    assert (there["span_id"], there["name"], there["result"]["score"]) == (f"{1:016x}", "tone", 0.5)


def test_pruned_requests_are_forgotten_here_too(project: Project, server: Phoenix) -> None:
    configure(project, desk=at(server))
    project.run("records", "pull")
    project.run("records", "prune", "--before", "0s")
    (project.root / "scores.jsonl").write_text(json.dumps({"trace_id": f"{1:032x}", "name": "tone", "value": 1}))
    assert project.run("records", "push", "--to", "desk", "scores.jsonl").code == 1


def test_doctor_says_of_every_source_how_far_it_is_pulled_and_what_went_wrong(
    project: Project, server: Phoenix
) -> None:
    configure(project, desk=at(server), fresh=at(server), bad=at(server, 'api_key_env = "NO_SUCH_KEY"'))
    project.run("records", "pull", "desk", "bad")
    lines = {line.split()[2]: line for line in project.run("doctor").out.splitlines() if " source " in line}
    assert lines["desk"].startswith("ok")
    assert "pulled until 20" in lines["desk"]
    assert lines["fresh"].startswith("note")
    assert "watchkeeper records pull fresh" in lines["fresh"]
    assert lines["bad"].startswith("problem")
    assert "NO_SUCH_KEY is not set" in lines["bad"]


def test_a_source_that_stays_away_becomes_an_incident_and_a_good_pull_ends_it(
    project: Project, server: Phoenix
) -> None:
    configure(project, desk=at(server))
    clock = FrozenClock(datetime(2026, 11, 24, 12, tzinfo=UTC))
    with open_app(project.root / "watchkeeper.toml", clock=clock) as app:
        sources.pull_records(app)
        for minutes, firing in ((29, 0), (1, 1)):
            clock.advance(timedelta(minutes=minutes))
            server.refusals = [NOT_JSON]
            [outcome] = sources.pull_records(app)
            assert outcome.error is not None
            assert len(incidents.list_incidents(app.store, status="firing")) == firing
        [incident] = incidents.list_incidents(app.store)
        assert (incident.kind, dict(incident.subject)) == ("records-stopped", {"source": "desk"})
        assert incident.summary.startswith("Source desk was last pulled at 2026-11-24T12:00Z and cannot be pulled:")
        sources.pull_records(app)
        [incident] = incidents.list_incidents(app.store)
        assert incident.status == "resolved"


def test_an_incident_of_a_source_that_was_taken_out_of_the_configuration_ends(
    project: Project, server: Phoenix
) -> None:
    configure(project, desk=at(server, 'api_key_env = "NO_SUCH_KEY"'))
    clock = FrozenClock(datetime(2026, 11, 24, 12, tzinfo=UTC))
    config = project.root / "watchkeeper.toml"
    with open_app(config, clock=clock) as app:
        sources.pull_records(app)
        clock.advance(sources.SILENT)
        sources.pull_records(app)
        assert len(incidents.list_incidents(app.store, status="firing")) == 1
    configure(project)
    with open_app(config, clock=clock) as app:
        assert sources.pull_records(app) == []
        assert incidents.list_incidents(app.store, status="firing") == []
