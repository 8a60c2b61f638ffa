"""`score`, `quality` and `records why` as a person runs them; the scorer is a suite's, so that nothing is paid."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edges.provider_stand_in import KEY, Provider, Reply, chat_completion, openai_error, provider_stand_in
from tests.edges.test_records_command import Project
from watchkeeper.app import App, open_app
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.incidents import service as incidents
from watchkeeper.jobs import scoring
from watchkeeper.jobs.alerts import deliver_alerts
from watchkeeper.scoring.funnel import STAGES
from watchkeeper.web.metrics import StoreCollector

ROUTE = "support.answer"
CONFIG = f"""
[web]
port = 0
[providers.replay]
base_url = "http://127.0.0.1:9/v1"
[routes."{ROUTE}"]
model = "replay/m-1"
scorers_of = "polite"
[sampling]
rate = 1.0
"""
SUITE = r"""
routes: [support.answer]
scorers:
  - {name: thanks, kind: regex, pattern: 'thank'}
  - {name: same, kind: exact, equals: "{{ reference }}"}
"""


def record(number: int, at: datetime, response: str | None = "thanks", **changes: Any) -> dict[str, Any]:
    return {
        "trace_id": f"{number:032x}", "span_id": f"{number:016x}", "started_at": at.isoformat(), "route": ROUTE,
        "source": "production", "input": "?", "response": response, "latency_ms": 100.0, **changes,
    }  # fmt: skip


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    (tmp_path / "watchkeeper.toml").write_text(CONFIG)
    (tmp_path / "suites" / "polite").mkdir(parents=True)
    (tmp_path / "suites" / "polite" / "suite.yaml").write_text(SUITE)
    (tmp_path / "suites" / "polite" / "cases.jsonl").write_text('{"id": "a", "input": "?", "reference": "thanks"}\n')
    return made


def imported(project: Project, lines: list[dict[str, Any]]) -> None:
    project.write("in.jsonl", lines)
    assert project.run("records", "import", "in.jsonl").returncode == 0


@contextmanager
def opened(project: Project, now: datetime) -> Iterator[App]:
    with open_app(project.root / "watchkeeper.toml", clock=FrozenClock(now)) as app:
        yield app


def test_a_dry_run_writes_nothing_and_the_run_does_what_it_said(project: Project, now: datetime) -> None:
    earlier = now - timedelta(hours=2)
    imported(project, [record(n, earlier, "thanks" if n % 4 else "no") for n in range(1, 41)])
    told = json.loads(project.run("score", "--dry-run", "--json").stdout)
    assert (told["eligible"], told["would_choose"], told["cost_usd"], told["assumed"]) == (40, 40, 0, [])
    assert project.run("quality").returncode == 5
    done = json.loads(project.run("score", "--json").stdout)
    assert (done["chosen"], done["scores"], done["missing"], done["waiting"]) == (40, 40, 0, 0)
    [row] = json.loads(project.run("quality", "--json").stdout)["rows"]
    assert (row["route"], row["scorer"], row["mean"], row["n"]) == (ROUTE, "polite/thanks", 0.75, 40)
    assert (row["corrected"], row["too_few"], row["population"]) == (None, False, 40)
    assert row["interval"][0] < 0.75 < row["interval"][1]
    again = json.loads(project.run("score", "--json").stdout)
    assert (again["chosen"], again["scores"]) == (0, 0)


def test_the_report_for_people_says_too_few_uncorrected_and_the_funnel(project: Project, now: datetime) -> None:
    imported(project, [record(n, now - timedelta(hours=2)) for n in range(1, 11)])
    project.run("score")
    done = project.run("quality", "--by", "prompt_version,hour")
    assert done.returncode == 0, done.stderr
    assert "too few" in done.stdout
    assert "uncorrected" in done.stdout
    assert f"{ROUTE}: 10 seen, 10 eligible, 10 sampled, 10 judged, 10 valid" in done.stderr


def test_why_gives_the_reason_each_way_and_a_request_that_is_not_sampled_is_no_failure(
    project: Project, now: datetime
) -> None:
    earlier = now - timedelta(hours=2)
    call = {"model_served": "m-1", "usage": {"input": 1, "output": 1}, "cost_usd": 0.1}
    imported(project, [record(1, earlier, calls=[call]), record(2, earlier, source="test", calls=[call])])
    project.run("score")
    scored = project.run("records", "why", f"{1:032x}")
    assert scored.returncode == 0, scored.stderr
    assert "judged     yes  polite/thanks 1.00" in scored.stdout
    skipped = project.run("records", "why", f"{2:032x}")
    assert (skipped.returncode, skipped.stdout.splitlines()[-1]) == (0, "eligible   no   skipped because source=test")


def test_nothing_configured_says_which_lines_to_write(project: Project) -> None:
    (project.root / "watchkeeper.toml").write_text("[web]\nport = 0\n")
    for command in ("score", "quality"):
        done = project.run(command)
        assert done.returncode == 5
        assert '[routes."support.answer"] judge = ["tone"]' in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("score", "--route", "support.answr"), "Did you mean 'support.answer'?"),
        (("score", "--since", "yesterday"), "write a time with a zone"),
        (("score", "--since", "2999-01-01T00:00:00Z"), "is in the future"),
        (("quality", "--by", "modle"), "Did you mean 'model'?"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_code_2(project: Project, args: tuple[str, ...], said: str) -> None:
    done = project.run(*args)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('content = "hashed"', 'its answers are kept as "hashed", so nothing can score them'),
        ('judge = ["tune"]', "No rubric named 'tune'"),
    ],
)
def test_a_route_that_cannot_be_scored_says_why(
    project: Project, monkeypatch: pytest.MonkeyPatch, line: str, said: str
) -> None:
    (project.root / "watchkeeper.toml").write_text(CONFIG.replace("scorers_of", f"{line}\nscorers_of"))
    monkeypatch.setenv("WATCHKEEPER_USER_ID_SECRET", "s")
    done = project.run("score")
    assert done.returncode == 2
    assert said in done.stderr


def test_an_unknown_signal_in_the_configuration_is_refused(project: Project) -> None:
    (project.root / "watchkeeper.toml").write_text(CONFIG + "multiples = {edit = 3}\n")
    done = project.run("score")
    assert (done.returncode, "sampling.multiples" in done.stderr) == (2, True)
    assert "Did you mean 'edited'?" in done.stderr


def kinds(app: App) -> dict[str, str]:
    return {each.kind: each.status for each in incidents.list_incidents(app.store)}


def test_a_fall_in_quality_opens_an_incident_and_its_recovery_closes_it(project: Project, now: datetime) -> None:
    lines = []
    for n in range(8 * 24 * 3):
        at = now - timedelta(hours=n // 3 + 1)
        bad = at > now - timedelta(hours=20) and n % 2
        version = {"id": "answer", "version": "2" if at > now - timedelta(hours=20) else "1"}
        lines.append(record(n + 1, at, "no" if bad else "thanks", prompt=version))
    imported(project, lines)
    with opened(project, now) as app:
        scoring.score_live(app, since=now - timedelta(days=9))
        [found] = [each for each in incidents.list_incidents(app.store) if each.kind == "quality-drop"]
        assert found.subject == {"route": ROUTE, "scorer": "polite/thanks"}
        assert found.evidence["change"]["prompt"] == "answer@2"
        assert len(found.evidence["worst"]) == 5
    later = now + timedelta(days=2)
    imported(project, [record(10_000 + n, later - timedelta(hours=n // 3 + 1)) for n in range(24 * 3)])
    with opened(project, later) as app:
        scoring.score_live(app, since=later - timedelta(days=2))
        assert kinds(app)["quality-drop"] == "resolved"


def test_a_schedule_that_stands_still_is_told_by_another_and_closed_when_it_runs_again(
    project: Project, now: datetime
) -> None:
    with opened(project, now) as app:
        scoring.score_live(app)
    later = now + timedelta(hours=1)
    imported(project, [record(1, later)])
    with opened(project, later) as app:
        deliver_alerts(app)
        assert kinds(app) == {"check-stalled": "firing"}
        scoring.score_live(app)
        assert kinds(app) == {"check-stalled": "resolved"}


def test_doctor_shows_the_funnel(project: Project, now: datetime) -> None:
    imported(project, [record(n, now - timedelta(hours=2)) for n in range(1, 6)])
    project.run("score")
    assert "last day: 5 seen, 5 eligible, 5 sampled, 5 judged, 5 valid" in project.run("doctor").stdout


def test_metrics_have_the_funnel_by_route_and_stage(project: Project, now: datetime) -> None:
    imported(project, [record(n, now - timedelta(hours=2)) for n in range(1, 6)])
    with opened(project, now) as app:
        scoring.score_live(app, since=now - timedelta(hours=3))
        [family] = [each for each in StoreCollector(app).collect() if each.name == "watchkeeper_scoring_last_day"]
    assert {(each.labels["route"], each.labels["stage"]): each.value for each in family.samples} == {
        (ROUTE, stage): 5.0 for stage in STAGES
    }


JUDGED = CONFIG.replace('scorers_of = "polite"', 'judge = ["tone"]') + "judge_budget_usd_per_day = 1.0\n"
RUBRIC = "---\nscale: pass_fail\nmodel: replay/m-1\n---\nDoes it thank?\n"


def judging(project: Project, provider: Provider) -> None:
    """The route judged by a rubric whose provider is a stand-in with a price."""
    price = (
        '[[prices.overrides]]\nprovider = "*"\nmodel = "m-1*"\neffective_from = 2020-01-01\ninput = 10\noutput = 10\n'
    )
    config = JUDGED.replace('http://127.0.0.1:9/v1"', f'{provider.base_url}"\napi_key_env = "STAND_IN_KEY"')
    (project.root / "watchkeeper.toml").write_text(config + price)
    (project.root / "rubrics").mkdir(exist_ok=True)
    (project.root / "rubrics" / "tone.md").write_text(RUBRIC)
    provider.always = Reply(body=chat_completion('{"reason": "It does.", "score": "pass"}'))


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("STAND_IN_KEY", KEY)
    with provider_stand_in() as anew:
        yield anew()


def test_a_judge_scores_once_is_paid_once_and_its_own_calls_are_never_sampled(
    project: Project, provider: Provider, now: datetime
) -> None:
    imported(project, [record(n, now - timedelta(hours=2), f"thanks {n}") for n in range(1, 6)])
    judging(project, provider)
    with opened(project, now) as app:
        run = scoring.score_live(app, since=now - timedelta(hours=3))
        calls = len(provider.asked)
        scoring.score_live(app, since=now - timedelta(hours=3))
        assert (run.scored, run.missing, calls, len(provider.asked)) == (5, 0, 5, 5)
        assert run.cost_nano_usd == run.spent_nano_usd
        assert run.cost_nano_usd
        told = scoring.preview(app, since=now - timedelta(hours=3))
        assert (told.assumed, told.new) == ([], 0)
    with opened(project, now + timedelta(hours=1)) as app:
        assert scoring.score_live(app).chosen == 0, "what the judge answered is no live answer"
        [row] = scoring.report(app, ["route"], now - timedelta(hours=3))
        assert (row.scorer, row.estimate.mean, row.corrected) == ("tone", 1.0, None)


def test_a_judge_that_is_down_ends_the_run_and_the_next_goes_on_with_the_same_sample(
    project: Project, provider: Provider, now: datetime
) -> None:
    imported(project, [record(n, now - timedelta(hours=2), f"thanks {n}") for n in range(1, 6)])
    judging(project, provider)
    provider.always, good = openai_error(401, "invalid_api_key"), provider.always
    with opened(project, now) as app, pytest.raises(Misconfigured):
        scoring.score_live(app, since=now - timedelta(hours=3))
    provider.always = good
    with opened(project, now + timedelta(minutes=15)) as app:
        run = scoring.score_live(app)
        assert (run.chosen, run.scored, run.waiting) == (0, 5, 0)
