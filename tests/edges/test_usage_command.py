"""`usage` as a person and as a program run it."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edges.test_records_command import Project
from watchkeeper.app import open_app
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.jobs.facts import write_facts

AT = datetime(2026, 11, 24, 10, 20, tzinfo=UTC)
WINDOW = ("--since", "2026-11-24T00:00:00Z", "--until", "2026-11-25T00:00:00Z")


def record(
    number: int, route: str, model: str, *, cost: float | None, hours: int = 0, **changes: Any
) -> dict[str, Any]:
    call = {"provider": "openai", "model_served": model, "usage": {"input": 100, "output": 10}, "cost_usd": cost}
    return {
        "trace_id": f"{number:032x}", "started_at": (AT + timedelta(hours=hours)).isoformat(), "route": route,
        "latency_ms": 100.0 * number, "calls": [call | {"latency_ms": 10.0 * number}], **changes,
    }  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    lines = [
        record(1, "answers", "gpt-a", cost=0.1, prompt={"id": "p", "version": "3"}),
        record(2, "answers", "gpt-a", cost=0.2, hours=1, prompt={"id": "p", "version": "3"}),
        record(3, "answers", "gpt-b", cost=None, hours=1, error_type="timeout"),
        record(4, "search", "gpt-b", cost=None, hours=2),
    ]
    made.write("in.jsonl", lines)
    assert made.run("records", "import", "in.jsonl").returncode == 0
    return made


def rows(project: Project, *args: str) -> list[dict[str, Any]]:
    done = project.run("usage", *WINDOW, *args, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return found


def test_a_table_for_people_says_money_and_what_has_no_price(project: Project) -> None:
    done = project.run("usage", *WINDOW, "--by", "route")
    assert done.stdout.splitlines() == [
        "route    requests  calls  errors                  cost  input  output  cached     p50     p95  ttft p50  p95",
        "answers         3      3       1  $0.3000 + 1 unpriced    300      30       -  200 ms  290 ms         -    -",
        "search          1      1       0            1 unpriced    100      10       -  400 ms  400 ms         -    -",
    ]


def test_the_answer_is_the_same_from_files_as_from_the_store(project: Project) -> None:
    asked = ("--by", "route,model,prompt_version", "--every", "1h")
    before = rows(project, *asked)
    with open_app(project.root / "watchkeeper.toml", clock=FrozenClock(AT + timedelta(hours=2))) as app:
        assert write_facts(app).hours == 6  # two settled hours of three tables (no scores); the third is open
    assert len(list((project.root / "facts").glob("*/*.parquet"))) == 4
    assert rows(project, *asked) == before
    assert len(before) == 4


def test_a_label_of_calls_counts_calls_and_times_them(project: Project) -> None:
    first, second = rows(project, "--by", "model", "--order", "p95")
    assert (first["model"], first["requests"], first["calls"], first["errors"]) == ("gpt-b", None, 2, 0)
    assert (first["cost_usd"], first["unpriced"], first["latency_ms"]["p50"]) == (None, 2, 35.0)
    assert second["tokens"] == {"input": 200, "output": 20, "cache_read": None, "cache_write": None, "reasoning": None}


def test_a_condition_holds_and_an_empty_one_is_without_the_label(project: Project) -> None:
    assert [row["requests"] for row in rows(project, "--where", "route=answers", "--where", "prompt_version=3")] == [2]
    assert [row["requests"] for row in rows(project, "--where", "prompt_version=")] == [2]
    assert rows(project, "--where", "route=none") == []


def test_without_labels_the_window_is_one_row_that_holds_its_start_and_not_its_end(project: Project) -> None:
    window = ("--since", AT.isoformat(), "--until", (AT + timedelta(hours=1)).isoformat())
    done = json.loads(project.run("usage", *window, "--json").stdout)
    assert [(row["requests"], row["cost_usd"]) for row in done["rows"]] == [(1, 0.1)]


def test_csv_has_an_empty_field_for_what_is_not_known(project: Project) -> None:
    done = project.run("usage", *WINDOW, "--by", "route", "--csv", "--order", "requests")
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["route"], row["cost_usd"], row["unpriced"]) for row in found] == [
        ("answers", "0.3", "1"), ("search", "", "1")
    ]  # fmt: skip


def test_rows_are_ordered_and_limited_as_asked(project: Project) -> None:
    assert [row["route"] for row in rows(project, "--by", "route", "--order", "p95", "--limit", "1")] == ["search"]
    done = project.run("usage", *WINDOW, "--by", "route", "--limit", "1")
    assert "1 of 2 rows" in done.stderr


def test_no_request_in_the_window_is_said_and_no_failure(project: Project) -> None:
    done = project.run("usage", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing in this window" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--by", "rout"), "Did you mean 'route'?"),
        (("--where", "modle=x"), "Did you mean 'model'?"),
        (("--where", "route"), "LABEL=VALUE"),
        (("--where", "route=a", "--where", "route=b"), "given twice"),
        (("--every", "often"), "write 1h, 1d or 15m"),
        (("--every", "0h"), "write a longer one"),
        (("--every", "1s", "--since", "52w"), "write a longer one"),
        (("--since", "1h", "--until", "2h"), "--since must be before --until"),
        (("--json", "--csv"), "one of them"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_code_2(project: Project, args: tuple[str, ...], said: str) -> None:
    done = project.run("usage", *args)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr
