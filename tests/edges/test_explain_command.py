"""`explain cost` as a person and as a program run it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edges.test_records_command import Project

AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
WEEK = timedelta(days=7)
WINDOWS = ("--from", "2026-11-17T00:00:00Z..2026-11-18T00:00:00Z", "--to", "2026-11-24T00:00:00Z..2026-11-25T00:00:00Z")


def record(number: int, at: datetime, model: str, cost: float | None, *, output: int = 100) -> dict[str, Any]:
    usage = {"input": 1000 + number % 7, "output": output + number % 5}
    call = {"provider": "openai", "model_served": model, "usage": usage, "cost_usd": cost}
    return {
        "trace_id": f"{number:032x}",
        "started_at": (at + timedelta(minutes=number % 600)).isoformat(),
        "route": "answers" if number % 2 else "search",
        "calls": [call],
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    old = [record(n, AT - WEEK, "gpt-a", 0.25) for n in range(1, 21)]
    new = [record(n, AT, "gpt-a", 0.25) for n in range(101, 131)]
    other = [record(n, AT, "gpt-b\x1b[31m", 1.0) for n in range(201, 206)]
    made.write("in.jsonl", [*old, *new, *other, record(301, AT, "gpt-a", None)])
    assert made.run("records", "import", "in.jsonl").returncode == 0
    return made


def test_a_person_reads_both_windows_the_parts_and_what_moved(project: Project) -> None:
    done = project.run("explain", "cost", *WINDOWS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "2026-11-24T00:00Z to 2026-11-25T00:00Z  $12.50"
    assert lines[1] == "2026-11-17T00:00Z to 2026-11-18T00:00Z  $5.00"
    assert any(line.startswith("change") and line.endswith("+$7.50") for line in lines)
    assert any(line.startswith("volume: more or fewer calls") for line in lines)
    assert any("openai/gpt-b?[31m" in line for line in lines)
    assert "after: 1 of 36 calls have no price and are in no figure" in done.stderr


def test_a_program_reads_exact_parts_that_add_up(project: Project) -> None:
    found = json.loads(project.run("explain", "cost", *WINDOWS, "--by", "model", "--json").stdout)
    total = found["total"]
    assert total["change_usd"] == 7.5
    assert sum(total["parts"].values()) == pytest.approx(7.5, abs=1e-9)
    assert [segment["model"] for segment in found["segments"]] == ["openai/gpt-b\x1b[31m", "openai/gpt-a"]
    assert sum(segment["change_usd"] for segment in found["segments"]) == pytest.approx(7.5)
    assert (found["per_hour"], found["before"]["unpriced"], found["after"]["unpriced"]) == (None, 0, 1)


def test_one_route_only_and_windows_of_another_length(project: Project) -> None:
    longer = ("--from", "2026-11-16T00:00:00Z..2026-11-18T00:00:00Z", WINDOWS[2], WINDOWS[3])
    done = project.run("explain", "cost", *longer, "--where", "route=search", "--json")
    found = json.loads(done.stdout)
    assert {segment["route"] for segment in found["segments"]} == {"search"}
    assert found["per_hour"]["before_usd"] == pytest.approx(found["total"]["before_usd"] / 48)
    assert found["segments_per"] == "hour"
    assert "48 and 24 hours long: compared by the hour too" in project.run("explain", "cost", *longer).stderr


def test_a_single_time_is_a_window_as_long_as_the_other(project: Project) -> None:
    alone = ("--from", "2026-11-17T00:00:00Z", WINDOWS[2], WINDOWS[3])
    assert project.run("explain", "cost", *alone, "--json").stdout == project.run(
        "explain", "cost", *WINDOWS, "--json"
    ).stdout  # fmt: skip


def test_without_windows_it_is_the_last_day_against_the_same_day_of_last_week(project: Project) -> None:
    now = datetime.now(UTC) - timedelta(hours=20)
    mine = [record(n, now - WEEK, "m", 0.5) for n in (1001, 1002)] + [
        record(n, now, "m", 0.5) for n in (1003, 1004, 1005)
    ]
    fresh = project.write("now.jsonl", [{**each, "route": "fresh"} for each in mine])
    assert project.run("records", "import", fresh.name).returncode == 0
    found = json.loads(project.run("explain", "cost", "--where", "route=fresh", "--json").stdout)
    assert (found["total"]["before_usd"], found["total"]["after_usd"]) == (1.0, 1.5)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--to", "2020-01-01T00:00:00Z..2020-01-02T00:00:00Z"), 5, "neither window has a call"),
        (("--to", "2026-11-25T00:00:00Z..2026-11-24T00:00:00Z"), 2, "--to: begins at or after its end"),
        (("--from", "yesterday"), 2, "--from 'yesterday': write a time"),
        (("--to", "2026-11-24.."), 2, "--to '2026-11-24': write a time"),
        (("--where", "rout=x"), 2, "No label named 'rout'. Did you mean 'route'?"),
        (("--where", "route"), 2, "write LABEL=VALUE"),
        (("--by", "team"), 2, "'team'"),
    ],
)
def test_bad_input_is_one_line(project: Project, options: tuple[str, ...], code: int, said: str) -> None:
    done = project.run("explain", "cost", *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert said in done.stderr
