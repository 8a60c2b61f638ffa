"""`resolutions cost`, `spend top` and `spend reconcile` as a person and as a program run them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edges.cost_api_stand_in import KEY, CostApis, openai_item
from tests.edges.source_stand_ins.server import serving
from tests.edges.test_records_command import Project
from watchkeeper.app import open_app
from watchkeeper.observability import service

AT = datetime.now(UTC).replace(hour=12) - timedelta(days=5)
DAY = AT.date()


def record(number: int, cost: float | None, **changes: Any) -> dict[str, Any]:
    usage = {"input": 1_000_000, "output": 0}
    call = {"provider": "openai", "model_served": changes.pop("model", "gpt-4o"), "usage": usage, "cost_usd": cost}
    return {
        "trace_id": f"{number:032x}",
        "started_at": (AT + timedelta(minutes=number)).isoformat(),
        "route": "answers",
        "segment": "free" if number % 2 else "paid",
        "calls": [call],
        **changes,
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write(
        "in.jsonl",
        [
            record(1, 1.5, job_id="a"),
            record(2, 0.5, job_id="a"),
            record(3, 2.0, job_id="b", route="search"),
            record(4, 4.0),
            record(5, None, job_id="a", model="nobody-prices-this"),
        ],
    )
    assert made.run("records", "import", "in.jsonl").returncode == 0
    return made


def resolve(project: Project, **ends: bool) -> None:
    with open_app(project.root / "watchkeeper.toml") as opened:
        for job_id, resolved in ends.items():
            service.resolve(opened.store, job_id, resolved=resolved, at=AT + timedelta(hours=2))


def test_a_resolution_costs_all_attempts_over_what_was_resolved(project: Project) -> None:
    resolve(project, a=True, b=False)
    found = json.loads(project.run("resolutions", "cost", "--by", "route,model", "--json").stdout)
    whole = found["whole"]
    assert (whole["usd_per_resolution"], whole["jobs"], whole["resolved"], whole["partly_unpriced"]) == (4.0, 2, 1, 1)
    assert [(group["route"], group["model"], group["usd_per_resolution"]) for group in found["groups"]] == [
        ("answers", "openai/gpt-4o", 2.0), ("search", "openai/gpt-4o", None)
    ]  # fmt: skip
    assert found["requests_without_job"] == 1
    told = project.run("resolutions", "cost", "--by", "route")
    assert told.stdout.splitlines()[0].split()[:3] == ["route", "a", "resolution"]
    assert "1 jobs have calls without a price: they cost at least what is counted" in told.stderr
    assert "1 requests name no job" in told.stderr


def test_the_top_spenders_are_told_with_their_share(project: Project) -> None:
    found = json.loads(project.run("spend", "top", "segment", "--json").stdout)
    assert [(each["segment"], each["cost_usd"], each["share"], each["new"]) for each in found["top"]] == [
        ("paid", 4.5, 0.5625, True), ("free", 3.5, 0.4375, True)
    ]  # fmt: skip
    told = project.run("spend", "top", "job", "--limit", "1")
    assert told.stdout.splitlines()[1].split() == ["a", "$2.00", "25.0%", "3", "new"]
    assert "2 requests name no job" not in told.stderr
    assert "1 requests name no job: $4.00" in told.stderr


def test_an_invoice_that_agrees_passes_and_one_that_differs_says_why(project: Project) -> None:
    file = project.root / "invoice.csv"
    file.write_text(f"date,model,cost\n{DAY},gpt-4o,$8.10\n")
    agrees = project.run("spend", "reconcile", "invoice.csv", "--provider", "openai", "--all")
    assert (agrees.returncode, agrees.stdout.splitlines()[0]) == (
        0, f"openai {DAY} to {DAY} (UTC): invoice $8.10, ours $8.00, -1.2%"
    ), agrees.stderr  # fmt: skip

    file.write_text(f"date,model,cost\n{DAY},gpt-4o,4\n{DAY},nobody-prices-this,3\n{DAY},o-secret,50\n")
    differs = project.run("spend", "reconcile", "invoice.csv")
    assert differs.returncode == 1
    assert "the invoice has the batch discount (100% of it)" in differs.stdout
    found = json.loads(project.run("spend", "reconcile", "invoice.csv", "--json").stdout)
    assert {row["model"]: row["explained"]["cause"] for row in found["rows"]} == {
        "gpt-4o": "batch", "nobody-prices-this": "unknown_model", "o-secret": "unknown_model"
    }  # fmt: skip


@pytest.fixture
def apis() -> Iterator[CostApis]:
    with serving(CostApis()) as stand_in:
        yield stand_in


def test_the_providers_cost_api_is_asked_where_no_file_is_named(project: Project, apis: CostApis) -> None:
    apis.openai = {DAY: [openai_item("gpt-4o-2024-08-06, input", 8.0)], DAY - timedelta(days=1): []}
    command = [sys.executable, "-m", "watchkeeper", "spend", "reconcile", "--base-url", apis.base_url, "--json"]
    given = {"cwd": project.root, "capture_output": True, "text": True, "timeout": 60}
    missing = subprocess.run(command, env={**os.environ, "OPENAI_ADMIN_KEY": ""}, **given)  # type: ignore[call-overload]
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)
    assert "OPENAI_ADMIN_KEY has no key" in missing.stderr
    done = subprocess.run([*command, "--api-key-env", "MINE"], env={**os.environ, "MINE": KEY}, **given)  # type: ignore[call-overload]
    found = json.loads(done.stdout)
    assert (found["invoice_usd"], found["ours_usd"], found["last_day"]) == (
        8.0, 8.0, str((datetime.now(UTC) - timedelta(days=1)).date())
    ), done.stderr  # fmt: skip
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("spend reconcile none.csv", 2, "none.csv: cannot be read"),
        ("spend reconcile in.jsonl", 2, "no column looks like the day"),
        ("spend reconcile in.jsonl --column days=x", 2, "WHAT is one of day, model"),
        ("spend reconcile in.jsonl --timezone Mars/Base", 2, "no such time zone"),
        ("spend reconcile in.jsonl --since 2026-11-02 --until 2026-11-02", 2, "--since must be a day before --until"),
        ("spend reconcile --provider mistral", 2, "No cost API named 'mistral'"),
        ("spend top user", 2, "'user'"),
        ("spend top segment --since 1s", 5, "no request in this window"),
        ("spend top segment --since soon", 2, "--since 'soon': write a time"),
        ("resolutions cost --timeout soon", 2, "--timeout 'soon': write 24h"),
        ("resolutions cost --include judges", 2, "--include 'judges': write judge or regression"),
        ("resolutions cost --by job_id", 2, "No label of jobs named 'job_id'"),
        ("resolutions cost --since 1s", 5, "no request names a job"),
    ],
)
def test_bad_input_is_one_line(project: Project, command: str, code: int, said: str) -> None:
    done = project.run(*command.split())
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert said in done.stderr
