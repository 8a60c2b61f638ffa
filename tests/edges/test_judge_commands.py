"""`rubrics`, and a suite with a judge, as a person runs them; the judge is the example's simulated one."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.app import open_app
from watchkeeper.jobs.models import followed_routes
from watchkeeper.observability.service import export_requests

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "support_desk"
ENV = {name: value for name, value in os.environ.items() if not name.startswith(("DESK_", "WATCHKEEPER_"))}
KIND = "I am sorry about order A-1042. We send it again within three working days."
CURT = "No."


@contextmanager
def listening(*command: str, cwd: Path) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, *command], cwd=cwd, env=ENV, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield next(line for line in process.stdout if line.startswith("listening on ")).split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture(scope="module")
def judge_url() -> Iterator[str]:
    with listening(str(EXAMPLE / "judge.py"), "--port", "0", cwd=EXAMPLE) as url:
        yield url


@pytest.fixture
def desk(tmp_path: Path, judge_url: str) -> Path:
    folder = tmp_path / "desk"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    config = folder / "watchkeeper.toml"
    config.write_text(config.read_text().replace("http://127.0.0.1:8791", judge_url))
    return folder


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "watchkeeper", *args]
    return subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=120)


def written(folder: Path, **item: Any) -> str:
    (folder / "item.json").write_text(json.dumps({"input": "My order A-1042 has not arrived", **item}))
    return "item.json"


def test_rubrics_are_listed_and_hold(desk: Path) -> None:
    listed, linted = run(desk, "rubrics", "list", "--json"), run(desk, "rubrics", "lint")
    [rubric] = json.loads(listed.stdout)
    assert (rubric["rubric"], rubric["scale"], rubric["model"]) == ("tone", "1-5", "desk_judge/desk-judge-1")
    assert rubric["version"].startswith("sha256:")
    assert (linted.returncode, linted.stderr) == (0, "1 rubrics, every one holds\n")


def test_lint_names_every_rubric_that_does_not_hold(desk: Path) -> None:
    (desk / "rubrics" / "a.md").write_text("---\nscale: 1-5\nmodel: nobody/m\n---\nRight?\n")
    (desk / "rubrics" / "b.md").write_text("---\nscale: stars\nmodel: desk/m\n---\nRight?\n")
    done = run(desk, "rubrics", "lint")
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.endswith("a.md: model: provider 'nobody' is not configured")
    assert "b.md:2: scale: there is no scale 'stars'" in second


def test_try_judges_once_and_knows_it_the_second_time(desk: Path) -> None:
    args = ("rubrics", "try", "tone", "--input", written(desk, response=KIND))
    first, second = run(desk, *args), run(desk, *args)
    assert first.stdout.splitlines() == ["tone: 5", "  SIMULATED judge: fulfils all four criteria."]
    assert first.stderr.startswith("1 call; $0.0")
    assert "desk_judge/desk-judge-1, served by desk-judge-1" in first.stderr
    assert second.stdout == first.stdout
    assert second.stderr.startswith("known, nobody was asked")
    with open_app(desk / "watchkeeper.toml") as app:
        [record] = export_requests(app.store)
    assert (record.source, record.route) == ("judge", "judge.tone")
    assert record.calls[0].cost_nano_usd is not None


def test_try_judges_a_stored_request_by_its_trace(desk: Path) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    row = {"trace_id": trace, "started_at": "2026-11-24T10:00:00Z", "route": "r", "input": "Hi", "response": CURT}
    (desk / "in.jsonl").write_text(json.dumps(row))
    assert run(desk, "records", "import", "in.jsonl").returncode == 0
    done = run(desk, "rubrics", "try", "tone", "--trace", trace, "--json")
    document = json.loads(done.stdout)
    assert (document["value"], document["label"], document["calls"]) == (0.5, "3", 1)
    assert "SIMULATED" in document["explanation"]


def test_show_prints_what_would_be_sent_and_asks_nobody(desk: Path) -> None:
    done = run(desk, "rubrics", "try", "tone", "--input", written(desk, response=CURT), "--show")
    assert done.returncode == 0
    assert "--- system\nYou are a judge." in done.stdout
    assert "My order A-1042 has not arrived" in done.stdout
    with open_app(desk / "watchkeeper.toml") as app:
        assert list(export_requests(app.store)) == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("tone",), "say what to judge: --trace TRACE or --input FILE"),
        (("tones", "--input", "item.json"), "Did you mean 'tone'?"),
        (("tone", "--input", "none.json"), "none.json: no such file"),
        (("tone", "--input", "watchkeeper.toml"), "watchkeeper.toml: not JSON"),
        (("tone", "--trace", "abc"), "No request named 'abc'"),
    ],
)
def test_a_mistake_is_one_line_and_exits_2(desk: Path, args: tuple[str, ...], said: str) -> None:
    written(desk, response=CURT)
    done = run(desk, "rubrics", "try", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_judge_s_model_is_watched_and_never_upgrades_by_itself(desk: Path) -> None:
    with open_app(desk / "watchkeeper.toml") as app:
        followed = {each.route: each for each in followed_routes(app.settings)}
    assert (followed["judge.tone"].model, followed["judge.tone"].upgrades) == ("desk_judge/desk-judge-1", "")


@pytest.fixture
def polite(desk: Path) -> Iterator[Path]:
    """A suite judged by `tone`, and two models: one that is kind, one that is curt in 40 of 80 cases."""
    home = desk / "suites" / "polite"
    home.mkdir()
    (home / "suite.yaml").write_text("scorers:\n  - {name: tone, kind: judge, rubric: tone, margin: 0.05}\n")
    cases = [{"id": f"c-{n}", "input": f"My order A-1042 has not arrived, {n}"} for n in range(80)]
    (home / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    rows = [
        {"model": model, "prompt": case["input"], "response": CURT if model == "curt" and n < 40 else KIND}
        for model in ("kind", "curt")
        for n, case in enumerate(cases)
    ]
    (desk / "calls.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with ExitStack() as stack:
        command = ("-m", "watchkeeper", "replay", "calls.jsonl", "--port", "0", "--latency", "none")
        url = stack.enter_context(listening(*command, cwd=desk))
        config = desk / "watchkeeper.toml"
        config.write_text(config.read_text().replace("http://127.0.0.1:8790", url))
        yield desk


CHECK = ("check", "polite", "--baseline", "desk/kind", "--candidate", "desk/curt")


def test_a_suite_with_a_judge_compares_by_its_scores_and_says_what_the_judge_cost(polite: Path) -> None:
    done = run(polite, *CHECK, "--json")
    assert done.returncode == 1, done.stderr
    [suite] = json.loads(done.stdout)["suites"]
    [scorer] = suite["scorers"]
    assert (scorer["verdict"], scorer["baseline_mean"]) == ("regressed", 1.0)
    assert scorer["candidate_mean"] == pytest.approx((40 * 1.0 + 40 * 0.25) / 80)
    assert scorer["missing"] == {"baseline": 0, "candidate": 0}
    assert suite["cost_usd"]["judge"] > 0
    with open_app(polite / "watchkeeper.toml") as app:
        calls = [r for r in export_requests(app.store) if r.source == "judge"]
    assert len(calls) == 80 + 40  # answers that both sides gave alike are judged once
    assert {call.attributes["judged"].split()[0] for call in calls} == {f"c-{n}" for n in range(80)}
    assert not any(KIND in str(call.attributes) for call in calls)


def test_a_second_check_asks_the_judge_nothing_and_a_changed_rubric_is_another_suite(polite: Path) -> None:
    first = json.loads(run(polite, *CHECK, "--json").stdout)["suites"][0]
    again = json.loads(run(polite, *CHECK, "--json").stdout)["suites"][0]
    rubric = polite / "rubrics" / "tone.md"
    rubric.write_text(rubric.read_text().replace("four sentences", "five sentences"))
    changed = json.loads(run(polite, *CHECK, "--json").stdout)["suites"][0]
    assert again["cost_usd"]["judge"] == first["cost_usd"]["judge"]
    assert changed["suite_version"] != again["suite_version"] == first["suite_version"]
    with open_app(polite / "watchkeeper.toml") as app:
        calls = [r for r in export_requests(app.store) if r.source == "judge"]
    assert len(calls) == 2 * 120  # the first check's, and the changed rubric's


def test_answers_the_judge_cannot_score_are_missing_and_the_verdict_is_not_a_pass(polite: Path) -> None:
    rubric = polite / "rubrics" / "tone.md"
    rubric.write_text(rubric.read_text().replace("sees: [input, response]", "sees: [response, reference]"))
    done = run(polite, *CHECK, "--json")
    [scorer] = json.loads(done.stdout)["suites"][0]["scorers"]
    assert done.returncode == 3
    assert (scorer["verdict"], scorer["baseline_mean"]) == ("inconclusive", None)
    assert scorer["unscored"] == {"judge: no reference": 160}


def test_a_judge_that_is_not_there_is_no_verdict_and_the_same_command_goes_on(polite: Path, judge_url: str) -> None:
    config = polite / "watchkeeper.toml"
    there = config.read_text()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        config.write_text(there.replace(f'"{judge_url}/v1"', f'"{nobody}/v1"\nmax_retries = 0'))
        failed = run(polite, *CHECK)
    assert failed.returncode == 4
    assert failed.stderr.splitlines()[-1].startswith("watchkeeper: provider 'desk_judge' gave none of 120 judgements")
    config.write_text(there)
    [suite] = json.loads(run(polite, *CHECK, "--json").stdout)["suites"]
    assert suite["verdict"] == "regressed"
    assert suite["candidate"]["reused"] is True


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rubric: tone", "rubric: tones", "No rubric named 'tones'"),
        ("kind: judge, rubric: tone", "kind: judge", "suite.yaml:2: scorers.0.rubric: is required"),
    ],
)
def test_a_judge_without_its_rubric_is_refused_before_anything_is_paid_for(
    polite: Path, old: str, new: str, said: str
) -> None:
    suite = polite / "suites" / "polite" / "suite.yaml"
    suite.write_text(suite.read_text().replace(old, new))
    done = run(polite, *CHECK)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_judge_whose_model_does_not_exist_is_refused_before_anything_is_paid_for(polite: Path) -> None:
    rubric = polite / "rubrics" / "tone.md"
    rubric.write_text(rubric.read_text().replace("desk-judge-1", "desk-judge-7"))
    done = run(polite, *CHECK)
    assert done.returncode == 2
    assert "No model named 'desk_judge/desk-judge-7'" in done.stderr
    assert "Did you mean 'desk_judge/desk-judge-1'?" in done.stderr
