"""The example application: its simulation is reproducible, and its upgrade breaks what it should break."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.model_watch.sighting import FollowedRoute, is_upgrade
from watchkeeper.observability.wire import request_of
from watchkeeper.prompts.files import read_prompt
from watchkeeper.providers.recorded import read_recordings
from watchkeeper.regression.suite import messages_of
from watchkeeper.regression.suite_files import read_suite
from watchkeeper.settings import load_settings

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "support_desk"
OLD, NEW = "desk-2026-09", "desk-2026-11"
WRITTEN = ("traffic.jsonl", "recordings-old.jsonl", "recordings-new.jsonl")
ENV = {name: value for name, value in os.environ.items() if not name.startswith(("DESK_", "WATCHKEEPER_"))}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, simulated."""
    return copied(tmp_path_factory.mktemp("desk") / "support_desk")


def copied(folder: Path, *, seed: int = 7) -> Path:
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(folder, "simulate.py", str(folder), "--seed", str(seed)).returncode == 0
    return folder


def run(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], cwd=folder, env={**ENV, **env}, capture_output=True, text=True, timeout=120
    )


@contextmanager
def replaying(folder: Path) -> Iterator[str]:
    """The simulated model, and watchkeeper.toml pointed at it."""
    command = [sys.executable, "-m", "watchkeeper", "replay", *WRITTEN[1:], "--port", "0", "--latency", "none"]
    process = subprocess.Popen(command, cwd=folder, env=ENV, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        config = folder / "watchkeeper.toml"
        config.write_text(config.read_text().replace("http://127.0.0.1:8790", url))
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=10)


def hashes(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in WRITTEN]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(desk: Path, tmp_path: Path) -> None:
    again, other = copied(tmp_path / "again"), copied(tmp_path / "other", seed=8)
    assert hashes(again) == hashes(desk)
    assert all(a != b for a, b in zip(hashes(other), hashes(desk), strict=True))


def test_the_checked_in_cases_are_what_their_generator_writes(desk: Path) -> None:
    checked_in = ("orders.jsonl", "suites/triage/cases.jsonl", "suites/answer/cases.jsonl")
    assert run(desk, "messages.py").returncode == 0
    assert all((desk / name).read_bytes() == (EXAMPLE / name).read_bytes() for name in checked_in)


def test_a_week_of_requests_has_its_errors_feedback_and_retrievals(desk: Path) -> None:
    requests = rows(desk / "traffic.jsonl")
    assert 1_900 < len(requests) < 2_100
    assert all({"trace_id", "started_at", "route"} <= row.keys() for row in requests)
    assert {row["source"] for row in requests} == {"demo"}
    assert {row["route"] for row in requests} == {"support.triage", "support.answer"}
    assert len({row["trace_id"] for row in requests}) == len(requests)
    assert requests == sorted(requests, key=lambda row: row["started_at"])
    assert 0 < sum(row["error_type"] is not None for row in requests) < 40
    assert sum(bool(row.get("feedback")) for row in requests) > 40
    assert all("retrievals" in row for row in requests if row["route"] == "support.answer")
    assert {call["cost_usd"] for row in requests for call in row["calls"]} == {None}


def test_every_request_is_accepted_by_the_store_s_own_reader(desk: Path) -> None:
    for row in rows(desk / "traffic.jsonl"):
        read = request_of(row)
        assert (read.route, read.source, read.attributes) == (row["route"], "demo", {"simulated": True})


def test_every_case_of_every_suite_was_answered_by_both_models(desk: Path) -> None:
    settings = load_settings(desk / "watchkeeper.toml")
    recordings = read_recordings([desk / name for name in WRITTEN[1:]])
    assert recordings.models == [OLD, NEW]
    for name, cases in (("triage", 200), ("answer", 120)):
        suite = read_suite(settings.suites.path, name, prompts=settings.suites.prompts)
        assert len(suite.cases) == cases
        for case in suite.cases:
            asked = messages_of(suite.template, case)
            assert recordings.find(OLD, asked), case.id
            assert recordings.find(NEW, asked), case.id


def test_live_requests_ask_with_the_words_of_the_suites(desk: Path) -> None:
    last = next(row for row in reversed(rows(desk / "traffic.jsonl")) if row["route"] == "support.triage")
    template = read_prompt(desk / "prompts", prompt_id="triage", version=last["prompt"]["version"])
    assert last["calls"][-1]["messages"][0]["content"] == template.replace("{{ input }}", last["input"])


def test_the_new_model_is_one_that_the_routes_follow(desk: Path) -> None:
    for name, route in load_settings(desk / "watchkeeper.toml").routes.items():
        followed = FollowedRoute(route=name, model=route.model, upgrades=route.upgrades)
        assert is_upgrade(followed, f"desk/{NEW}")


def test_only_the_fence_is_new(desk: Path) -> None:
    def bare(model: str) -> float:
        answers = [r for r in rows(desk / f"recordings-{model}.jsonl") if r["case_id"].startswith("triage/")]
        return sum(r["response"].startswith("{") and r["response"].endswith("}") for r in answers) / len(answers)

    assert bare("old") >= 0.96
    assert bare("new") == pytest.approx(0.15)
    fenced = [r for r in rows(desk / "recordings-new.jsonl") if "```json" in r["response"]]
    for row in fenced:
        inside = row["response"].partition("```json\n")[2].removesuffix("\n```")
        assert json.loads(inside).keys() == {"category", "priority"}


def test_the_application_works_on_the_old_model_and_breaks_on_the_new_one(tmp_path: Path) -> None:
    desk = copied(tmp_path / "desk")
    with replaying(desk) as url:
        env = {"DESK_BASE_URL": f"{url}/v1"}
        old = run(desk, "app.py", "My order A-1042 has not arrived", **env)
        new = run(desk, "app.py", "My order A-1042 has not arrived", DESK_MODEL=NEW, **env)
    assert old.returncode == 0, old.stderr
    assert old.stdout.startswith("delivery, normal priority")
    assert "A-1042" in old.stdout
    assert (new.returncode, "not the JSON we asked for" in new.stderr) == (1, True), new.stderr


@pytest.mark.parametrize("seed", [0, 1])
def test_the_upgrade_is_stopped_by_the_triage_suite_alone(tmp_path: Path, seed: int) -> None:
    desk = copied(tmp_path / "desk", seed=seed)
    with replaying(desk):
        command = ("upgrade", "--from", f"desk/{OLD}", "--to", f"desk/{NEW}", "--json")
        done = run(tmp_path, "-m", "watchkeeper", *command, "--config", str(desk / "watchkeeper.toml"))
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    suites = {suite["suite"]: suite for suite in document["suites"]}
    assert {name: suite["verdict"] for name, suite in suites.items()} == {"triage": "regressed", "answer": "pass"}
    assert [suite["errors"] for suite in suites.values()] == [[], []]
    watched = {scorer["name"]: scorer for scorer in suites["triage"]["scorers"]}
    assert watched["category"]["verdict"] == "pass"  # the content is as right as before
    assert suites["answer"]["newly_failing"] == []
    worst = suites["triage"]["worst_cases"]
    assert all("```json" in case["candidate"] and case["baseline"].startswith("{") for case in worst)
    assert suites["triage"]["cost_usd"]["candidate"] < suites["triage"]["cost_usd"]["baseline"]
