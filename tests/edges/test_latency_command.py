"""`latency check` as a person runs it; what doctor says of latency and of budgets."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.edges.test_records_command import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def records(slower_for: float = 0.0) -> list[dict[str, Any]]:
    """Four days of 20 requests an hour; the last hours of them twice as slow."""
    rng, now = np.random.default_rng(1), datetime.now(UTC)
    found = []
    for number in range(4 * 24 * 20):
        ago = number / 20
        ms = float(1000 * rng.lognormal(0, 0.2)) * (2 if ago < slower_for else 1)
        call = {"model_served": "house-1", "usage": {"input": 10, "output": 100}, "cost_usd": 0.01}
        found.append(
            {
                "trace_id": f"{number:032x}", "started_at": (now - timedelta(hours=ago, seconds=5)).isoformat(),
                "route": "answers", "latency_ms": ms, "ttft_ms": ms / 4, "calls": [call],
            }
        )  # fmt: skip
    return found


def test_as_usual_is_0_slower_is_1_and_an_incident(project: Project) -> None:
    project.write("in.jsonl", records())
    project.run("records", "import", "in.jsonl")
    usual = project.run("latency", "check")
    assert (usual.returncode, usual.stdout) == (0, "1 of 1 streams compared with their two weeks\n")
    project.write("in.jsonl", records(slower_for=6))
    project.run("records", "import", "in.jsonl")
    slower = project.run("latency", "check", "--json")
    assert slower.returncode == 1
    found = json.loads(slower.stdout)
    assert [stream["verdict"] for stream in found["streams"]] == ["slower"]
    [finding] = found["findings"]
    assert (finding["kind"], finding["subject"]) == ("latency-regression", {"route": "answers", "model": "house-1"})
    [incident] = json.loads(project.run("incidents", "list", "--json").stdout)
    assert (incident["kind"], incident["status"]) == ("latency-regression", "firing")
    said = {line.split()[1]: line for line in project.run("doctor").stdout.splitlines() if " latency " in line}
    assert "1 of 1 streams compared, 1 findings" in said["latency"]


def test_without_records_there_is_nothing_to_check(project: Project) -> None:
    done = project.run("latency", "check")
    assert done.returncode == 5
    assert done.stderr.startswith("watchkeeper: no answered request of the last 15 days is recorded")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "key"), [("ratio = 1", "latency.ratio"), ("requests_per_day = 0", "latency.requests_per_day")]
)
def test_a_setting_that_means_nothing_is_one_line(project: Project, text: str, key: str) -> None:
    (project.root / "watchkeeper.toml").write_text(f"[latency]\n{text}\n")
    done = project.run("latency", "check")
    assert done.returncode == 2
    assert done.stderr.startswith(f"watchkeeper: watchkeeper.toml: {key}: ")
    assert len(done.stderr.splitlines()) == 1


def test_doctor_says_of_each_budget_what_its_last_check_said(project: Project) -> None:
    (project.root / "watchkeeper.toml").write_text('[[budgets]]\nname = "all"\nperiod = "30d"\nlimit_usd = 100\n')
    project.write("in.jsonl", records())
    project.run("records", "import", "in.jsonl")

    def line() -> str:
        return next(each for each in project.run("doctor").stdout.splitlines() if "budget all" in each)

    assert "$100.00 a 30d, never checked; watchkeeper budgets check" in line()
    project.run("budgets", "check")
    assert "within, $19.20 of $100.00 a 30d" in line()
