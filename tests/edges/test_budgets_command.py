"""`budgets check` as a person runs it, and every mistake in [[budgets]]."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.edges.test_records_command import Project
from watchkeeper.budgets.budget import Budget
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.jobs.budgets import budgets_of
from watchkeeper.settings import load_settings

ALL = '[[budgets]]\nname = "all"\nperiod = "30d"\nlimit_usd = 10\n'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def configure(project: Project, text: str) -> None:
    (project.root / "watchkeeper.toml").write_text("[web]\nport = 0\n" + text)


def record(number: int, cost: float | None, **changes: Any) -> dict[str, Any]:
    at = (datetime.now(UTC) - timedelta(minutes=number)).isoformat()
    call = {"provider": "openai", "model_served": "house-1", "usage": {"input": 10, "output": 5}, "cost_usd": cost}
    return {"trace_id": f"{number:032x}", "started_at": at, "route": "answers", "calls": [call], **changes}


def test_within_is_0_and_exceeded_is_1_with_the_figures_beside(project: Project) -> None:
    configure(project, ALL)
    project.write("in.jsonl", [record(1, 4.5), record(2, None)])
    project.run("records", "import", "in.jsonl")
    within = project.run("budgets", "check")
    assert (within.returncode, within.stderr) == (0, "")
    assert within.stdout == ("all: within, $4.50 of $10.00 a rolling 30d (45%). 1 call has no cost and is not in it.\n")
    project.write("more.jsonl", [record(3, 6.25)])
    project.run("records", "import", "more.jsonl")
    over = project.run("budgets", "check", "all", "--json")
    assert over.returncode == 1
    [budget] = json.loads(over.stdout)["budgets"]
    assert (budget["verdict"], budget["spent_usd"], budget["limit_usd"]) == ("exceeded", 10.75, 10)
    assert (budget["crossed"], budget["newly_crossed"]) == ([0.5, 0.8, 1.0], [0.5, 0.8, 1.0])
    assert budget["unpriced_calls"] == 1
    assert [finding["kind"] for finding in budget["findings"]] == ["budget-burn"]
    [incident] = json.loads(project.run("incidents", "list", "--json").stdout)
    assert (incident["kind"], incident["subject"], incident["status"]) == ("budget-burn", {"budget": "all"}, "firing")


def test_without_a_budget_the_command_says_how_to_write_one(project: Project) -> None:
    done = project.run("budgets", "check")
    assert done.returncode == 5
    assert done.stderr.startswith("watchkeeper: no budget is configured; write into watchkeeper.toml")
    assert len(done.stderr.splitlines()) == 1


def test_a_spend_that_has_no_records_says_so(project: Project) -> None:
    configure(project, ALL + 'spend = "judge"\n')
    done = project.run("budgets", "check")
    assert done.returncode == 0
    assert 'no record of this period has source = "judge"' in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\nlimit_usd = 0', "budgets.0.limit_usd: Input should be greater than or equal to 0.000001"),
        ('name = "a"\nlimit_usd = -5', "budgets.0.limit_usd: Input should be greater than or equal to 0.000001"),
        ('name = "a"\nlimit_usd = nan', "budgets.0.limit_usd: Input should be a finite number"),
        ('name = ""\nlimit_usd = 5', "budgets.0.name: String should have at least 1 character"),
        (
            'name = "a"\nlimit_usd = 5\nwhere = { rout = "x" }',
            "budgets.0.where: No label named 'rout'. Did you mean 'route'?",
        ),
        (
            'name = "a"\nlimit_usd = 5\n[[budgets]]\nname = "a"\nlimit_usd = 6',
            "budgets: two budgets are named 'a'; give each a name of its own",
        ),
        (
            'name = "a"\nlimit_usd = 5\n[[budgets]]\nname = " A"\nlimit_usd = 6',
            "budgets: two budgets are named 'a'; give each a name of its own",
        ),
        (
            'name = "a"\nlimit_usd = 5\ntimezone = "Europe/Berlim"',
            "budgets.0.timezone: there is no time zone 'Europe/Berlim'; write e.g. Europe/Berlin",
        ),
        (
            'name = "a"\nlimit_usd = 5\nthresholds = [0.8, 0.5]',
            "budgets.0.thresholds: out of order: [0.8, 0.5]; write them ascending, each once",
        ),
        (
            'name = "a"\nlimit_usd = 5\nthresholds = [50, 80]',
            "budgets.0.thresholds: a threshold is a share of the limit, above 0 and at most 10: 0.8 is 80 %",
        ),
        (
            'name = "a"\nlimit_usd = 5\nperiod = "year"',
            "budgets.0.period: write day, week, month, or a length such as 24h or 7d, not 'year'",
        ),
        (
            'name = "a"\nlimit_usd = 5\nperiod = "5m"',
            "budgets.0.period: a rolling period has between 1h and 366d, not 5m",
        ),
        ('name = "a"\nlimit_usd = 5\nlimit = 6', "budgets.0.limit: unknown key; did you mean 'limit_usd'?"),
    ],
)
def test_every_mistake_is_one_line_that_says_where(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "watchkeeper.toml"
    path.write_text(f"[[budgets]]\n{text}\n")
    with pytest.raises(Misconfigured) as caught:
        load_settings(path)
    assert str(caught.value) == f"watchkeeper.toml: {said}"


def test_every_setting_of_a_budget_arrives_in_it(tmp_path: Path) -> None:
    path = tmp_path / "watchkeeper.toml"
    path.write_text(
        '[[budgets]]\nname = "a"\nperiod = "week"\nweek_start = "sunday"\nlimit_usd = 0.1\ntimezone = "Asia/Tokyo"\n'
        'where = { segment = "" }\nspend = "regression"\nthresholds = [0.9]\nalert_usd = 2\n'
    )
    assert budgets_of(load_settings(path)) == [
        Budget(
            name="a",
            period="week",
            week_start=6,
            limit_nano_usd=100_000_000,
            zone=ZoneInfo("Asia/Tokyo"),
            where={"segment": None},
            spend="regression",
            thresholds=(0.9,),
            least_nano_usd=2 * 10**9,
        )
    ]
