"""`prices` as a person runs it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edges.test_records_command import Project

OWN = """
[[prices.overrides]]
provider = "openai"
model = "house-*"
effective_from = 2026-01-01
input = 2.0
output = 4
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def configure(project: Project, text: str) -> None:
    (project.root / "watchkeeper.toml").write_text("[web]\nport = 0\n" + text)


def record(number: int, model: str, **changes: Any) -> dict[str, Any]:
    at = (datetime.now(UTC) - timedelta(minutes=number)).isoformat()
    call = {"provider": "openai", "model_served": model, "usage": {"input": 1_000_000, "output": 0}, **changes}
    return {"trace_id": f"{number:032x}", "started_at": at, "route": "support.answer", "calls": [call]}


def test_unpriced_calls_are_told_become_an_incident_and_are_mended_by_a_rate(project: Project) -> None:
    project.write("in.jsonl", [record(1, "gpt-4o"), *(record(n, "house-1") for n in range(2, 8))])
    project.run("records", "import", "in.jsonl")
    checked = project.run("prices", "check")
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[0] == "7 calls, 1 priced now, 6 without a cost"
    assert checked.stdout.splitlines()[2].split()[:3] == ["6", "openai/house-1", "unknown_model"]
    incident = json.loads(project.run("incidents", "list", "--json").stdout)[0]
    assert (incident["kind"], incident["subject"]) == ("unpriced-calls", {"model": "openai/house-1"})
    assert incident["status"] == "firing"

    configure(project, OWN)
    mended = project.run("prices", "check", "--json")
    assert mended.returncode == 0
    assert json.loads(mended.stdout) == {
        "calls": 7, "priced": 6, "unpriced": 0, "failed_without_cost": 0, "models": []
    }  # fmt: skip
    incidents = json.loads(project.run("incidents", "list", "--status", "resolved", "--json").stdout)
    assert [each["status"] for each in incidents if each["kind"] == "unpriced-calls"] == ["resolved"]
    shown = json.loads(project.run("records", "show", f"{2:032x}", "--json").stdout)
    assert shown["calls"][0]["cost_usd"] == 2.0


def test_failed_calls_without_usage_are_no_reason_to_fail(project: Project) -> None:
    project.write("in.jsonl", [record(1, "gpt-4o", usage=None, error_type="timeout")])
    project.run("records", "import", "in.jsonl")
    checked = project.run("prices", "check", "--since", "24h")
    assert checked.returncode == 0
    assert "1 calls that failed have no cost" in checked.stderr


def test_show_says_the_rates_and_where_they_come_from(project: Project) -> None:
    configure(project, OWN)
    shown = project.run("prices", "show", "gpt-4o", "--provider", "openai", "--at", "2026-11-24T00:00:00Z")
    assert shown.returncode == 0
    assert "input        $2.5 a million tokens" in shown.stdout
    assert "from genai-prices " in shown.stdout
    own = json.loads(project.run("prices", "show", "openai/house-1", "--json").stdout)
    assert own["usd_per_million"]["reasoning"] == 4
    assert own["source"] == "override"
    unknown = project.run("prices", "show", "no-such-model")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)


def test_reprice_says_old_and_new_and_a_dry_run_changes_nothing(project: Project) -> None:
    project.write("in.jsonl", [record(1, "gpt-4o")])
    project.run("records", "import", "in.jsonl")
    assert project.run("prices", "check").returncode == 0
    configure(project, OWN.replace("house-*", "gpt-4o"))
    dry = project.run("prices", "reprice", "--since", "7d", "--dry-run")
    assert dry.stdout.splitlines() == [
        "1 calls would change",
        "model          calls   old    new",
        "openai/gpt-4o  1 of 1  $2.50  $2.00",
    ]
    done = json.loads(project.run("prices", "reprice", "--since", "7d", "--json").stdout)
    assert (done["changed"], done["models"][0]["old_usd"], done["models"][0]["new_usd"]) == (1, 2.5, 2.0)
    assert json.loads(project.run("prices", "reprice", "--since", "7d", "--json").stdout)["changed"] == 0


@pytest.mark.parametrize(
    ("args", "config"),
    [
        (("check", "--since", "soon"), ""),
        (("show", "gpt-4o", "--at", "2026-11-24"), ""),
        (("reprice", "--since", "1h", "--until", "2h"), ""),
        (("reprice",), ""),
        (("check",), OWN.replace("input = 2.0", "input = -2.0")),
        (("check",), OWN.replace("input = 2.0", "inputs = 2.0")),
        (("check",), OWN.replace("input = 2.0", "input = nan")),
        (("check",), OWN.replace("2026-01-01", '"soon"')),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_code_2(project: Project, args: tuple[str, ...], config: str) -> None:
    configure(project, config)
    done = project.run("prices", *args)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_doctor_names_the_price_list(project: Project) -> None:
    done = project.run("doctor")
    assert "genai-prices " in done.stdout


def test_the_job_prices_the_last_days_and_tells(project: Project) -> None:
    from watchkeeper.app import open_app
    from watchkeeper.jobs.prices import price_records

    project.write("in.jsonl", [record(1, "gpt-4o"), *(record(n, "house-1") for n in range(2, 8))])
    project.run("records", "import", "in.jsonl")
    with open_app(project.root / "watchkeeper.toml") as app:
        assert (done := price_records(app)).priced == 1
        assert done.unpriced == 6
        assert price_records(app).priced == 0
    assert "unpriced-calls" in project.run("incidents", "list").stdout
