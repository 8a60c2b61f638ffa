"""`watchkeeper upgrade` as a tired engineer meets it: killed, stopped, mistyped, unplugged."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Project, recorded, write_recording

UPGRADE = ("upgrade", "--from", "replay/old-1", "--to", "replay/new-1")


def prompts(count: int) -> dict[str, str]:
    return {f"question {n}": "yes" for n in range(count)}


def cases(count: int) -> list[dict[str, str]]:
    return [{"id": f"case-{n}", "input": f"question {n}", "reference": "yes"} for n in range(count)]


def two_models(path: Path, count: int, *, wrong: int = 0) -> Path:
    new = {prompt: "no" if n < wrong else "yes" for n, prompt in enumerate(prompts(count))}
    return write_recording(path / "calls.jsonl", [*recorded("old-1", prompts(count)), *recorded("new-1", new)])


def stored(project: Project) -> int:
    database = project.root / "watchkeeper.db"
    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM attempts").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def test_a_safe_upgrade_passes_and_the_team_is_told_once(project: Project, replay: Any, tmp_path: Path) -> None:
    project.suite("s", cases(80))
    with replay([two_models(tmp_path, 80)]) as url:
        project.config(url)
        first, second = project.run(*UPGRADE), project.run(*UPGRADE)
    assert (first.code, second.code) == (0, 0)
    assert "80 cases" in first.err
    assert "verdict: pass" in first.out
    assert project.run("incidents", "list", "--json").json == []
    printed = project.run("alerts", "deliver", "--once")
    assert printed.code == 0
    assert printed.out.count("Safe to upgrade: replay/new-1") == 1


def test_too_few_cases_are_inconclusive_and_say_how_many_would_decide(
    project: Project, replay: Any, tmp_path: Path
) -> None:
    project.suite("s", cases(20))
    with replay([two_models(tmp_path, 20)]) as url:
        project.config(url)
        done = project.run(*UPGRADE, "--json")
    assert done.code == 3
    [scorer] = done.json["suites"][0]["scorers"]
    assert scorer["verdict"] == "inconclusive"
    assert scorer["more_cases"] >= 39
    assert "too few cases to pass" in done.err


def test_a_killed_run_goes_on_where_it_was(project: Project, replay: Any, tmp_path: Path) -> None:
    project.suite("s", cases(300))
    with replay([two_models(tmp_path, 300)], "--latency", "60") as url:
        project.config(url, provider="concurrency = 5")
        process = project.start(*UPGRADE)
        wait_until(lambda: stored(project) > 50, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = stored(project)
        project.config(url)
        done = project.run(*UPGRADE, "--json")
    assert done.code == 0, done.err
    assert 50 < kept < 600
    assert stored(project) == 600
    with sqlite3.connect(project.root / "watchkeeper.db") as connection:
        assert connection.execute("SELECT count(*) FROM suite_runs").fetchone() == (2,)


def test_ctrl_c_keeps_what_was_answered_and_says_how_to_go_on(project: Project, replay: Any, tmp_path: Path) -> None:
    project.suite("s", cases(300))
    with replay([two_models(tmp_path, 300)], "--latency", "60") as url:
        project.config(url, provider="concurrency = 5")
        process = project.start(*UPGRADE)
        wait_until(lambda: stored(project) > 50, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"{stored(project)} of 600 answers are stored" in err
    assert "the same command goes on from there" in err
    assert "Traceback" not in err


def test_two_at_once_do_not_pay_twice(project: Project, replay: Any, tmp_path: Path) -> None:
    project.suite("s", cases(200))
    with replay([two_models(tmp_path, 200)], "--latency", "60") as url:
        project.config(url, provider="concurrency = 5")
        first = project.start(*UPGRADE)
        wait_until(lambda: stored(project) > 20, first)
        second = project.run(*UPGRADE)
        first.communicate(timeout=60)
    assert second.code == 4
    assert "another process is running suite 's'" in second.err
    assert first.returncode == 0


def test_an_unreachable_provider_is_an_incident_and_the_run_goes_on_later(
    project: Project, replay: Any, tmp_path: Path
) -> None:
    project.suite("s", cases(80))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    project.config(dead, provider="max_retries = 0")
    failed = project.run(*UPGRADE)
    assert failed.code == 4
    assert failed.err.strip().splitlines()[-1].startswith("watchkeeper: provider 'replay'")
    [incident] = project.run("incidents", "list", "--json").json
    assert (incident["kind"], incident["status"], incident["subject"]) == (
        "provider-errors",
        "firing",
        {"provider": "replay"},
    )
    with replay([two_models(tmp_path, 80)]) as url:
        project.config(url)
        assert project.run(*UPGRADE).code == 0
    [incident] = project.run("incidents", "list", "--json").json
    assert incident["status"] == "resolved"


def test_answers_that_stay_missing_can_overturn_a_pass(project: Project, replay: Any, tmp_path: Path) -> None:
    rows = [*recorded("old-1", prompts(100)), *recorded("new-1", prompts(90))]  # ten prompts new-1 never answers
    project.suite("s", cases(100))
    with replay([write_recording(tmp_path / "calls.jsonl", rows)]) as url:
        project.config(url)
        done = project.run(*UPGRADE, "--json")
    assert done.code == 3
    suite = done.json["suites"][0]
    assert suite["scorers"][0]["missing"] == {"baseline": 0, "candidate": 10}
    assert suite["scorers"][0]["candidate_mean"] == 1.0
    assert {error["side"] for error in suite["errors"]} == {"candidate"}
    assert len(suite["errors"]) == 10


def test_an_override_is_kept_with_its_reason_and_exits_0(project: Project, replay: Any, tmp_path: Path) -> None:
    project.suite("s", cases(80))
    with replay([two_models(tmp_path, 80, wrong=40)]) as url:
        project.config(url)
        refused = project.run(*UPGRADE, "--override", "short")
        accepted = project.run(*UPGRADE, "--override", "the old model retires tomorrow", "--by", "ada", "--json")
    assert refused.code == 2
    assert accepted.code == 0
    assert accepted.json["verdict"] == "regressed"
    assert accepted.json["override"]["by"] == "ada"
    assert accepted.json["override"]["why"] == "the old model retires tomorrow"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("upgrade", "--from", "replay/old-1", "--to", "replay/newest-1"), "Did you mean 'replay/new-1'"),
        (("upgrade", "--from", "replay/old-1", "--to", "repley/new-1"), "No provider named 'repley'"),
        (("upgrade", "--from", "replay/old-1", "--to", "new-1"), "write PROVIDER/MODEL"),
        (("upgrade", "--from", "replay/odl-1", "--to", "replay/new-1"), "Did you mean 'replay/old-1'"),
        (("check", "t", "--candidate", "replay/new-1"), "No suite named 't'"),
        (("check", "s", "--candidate", "answer@2"), "No prompt named 'answer'"),
        (("upgrade", "--from", "replay/old-1"), "Missing option '--to'"),
        (("upgrade", "--form", "x"), "No such option"),
        (("runs", "show", "nothing"), "No run named 'nothing'"),
    ],
)
def test_a_wrong_name_is_one_line_and_exit_2(
    project: Project, replay: Any, tmp_path: Path, args: tuple[str, ...], said: str
) -> None:
    project.suite("s", cases(5))
    with replay([two_models(tmp_path, 5)]) as url:
        project.config(url)
        done = project.run(*args)
    assert done.code == 2
    assert said in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("watchkeeper:")]) == 1
    assert "Traceback" not in done.err


def test_no_cases_and_no_suites_are_nothing_to_check(project: Project) -> None:
    project.config("http://127.0.0.1:9/v1")
    assert project.run(*UPGRADE).code == 5
    project.suite("s", [])
    assert project.run(*UPGRADE).code == 5


def test_a_store_of_a_newer_version_is_refused(project: Project) -> None:
    project.config("http://127.0.0.1:9/v1")
    assert project.run("store", "migrate").code == 0
    with sqlite3.connect(project.root / "watchkeeper.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    done = project.run("incidents", "list")
    assert done.code == 2
    assert "newer than this watchkeeper knows" in done.err


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/proc/mounts").exists(), reason="mounting a small disk needs root on Linux"
)
def test_a_full_disk_stops_the_run_and_loses_nothing_already_stored(
    project: Project, replay: Any, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a small disk")
    try:
        long = {f"question {n}": "yes " * 1500 for n in range(300)}
        rows = [*recorded("old-1", long), *recorded("new-1", long)]
        project.suite("s", cases(300))
        with replay([write_recording(tmp_path / "calls.jsonl", rows)], "--latency", "100") as url:
            project.config(url, provider="concurrency = 10", more=f'[store]\nurl = "sqlite:///{disk}/w.db"')
            full = project.run(*UPGRADE)
            with closing(sqlite3.connect(f"file:{disk}/w.db?mode=ro", uri=True)) as connection:
                kept = connection.execute("SELECT count(*) FROM attempts").fetchone()[0]
        assert full.code == 4
        assert "the disk of the store is full" in full.err
        assert "Traceback" not in full.err
        assert kept > 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_provider_that_goes_away_in_the_middle_is_an_incident_and_no_verdict(
    project: Project, replay: Any, tmp_path: Path
) -> None:
    project.suite("s", cases(200))
    files = [two_models(tmp_path, 200)]
    with replay(files, "--latency", "60") as url:
        project.config(url, provider="concurrency = 5\nmax_retries = 0")
        process = project.start(*UPGRADE)
        wait_until(lambda: stored(project) > 40, process)
    _, err = process.communicate(timeout=60)  # the server is gone
    assert process.returncode == 4, err
    assert "is gone" in err
    [incident] = project.run("incidents", "list", "--json").json
    assert (incident["kind"], incident["status"]) == ("provider-errors", "firing")
    with replay(files) as url:
        project.config(url)
        done = project.run(*UPGRADE)
    assert done.code == 0, done.err
    assert [i["status"] for i in project.run("incidents", "list", "--json").json] == ["resolved"]


def test_a_pass_of_fewer_suites_does_not_close_what_another_suite_found(
    project: Project, replay: Any, tmp_path: Path
) -> None:
    project.suite("s", cases(80))
    project.suite("t", [{**case, "reference": "no"} for case in cases(80)])
    with replay([two_models(tmp_path, 80, wrong=40)]) as url:
        project.config(url)
        assert project.run(*UPGRADE).code == 1  # "s" regressed, "t" improved
        shutil.rmtree(project.root / "suites" / "s")
        assert project.run(*UPGRADE).code == 0
    [incident] = project.run("incidents", "list", "--json").json
    assert (incident["kind"], incident["status"]) == ("model-regressed", "firing")


def test_an_accepted_regression_says_in_the_channel_who_accepted_it(
    project: Project, replay: Any, tmp_path: Path
) -> None:
    project.suite("s", cases(80))
    with replay([two_models(tmp_path, 80, wrong=40)]) as url:
        project.config(url)
        assert project.run(*UPGRADE, "--override", "the old model retires tomorrow", "--by", "ada").code == 0
    assert "accepted by ada: the old model retires tomorrow" in project.run("alerts", "deliver", "--once").out
    [incident] = project.run("incidents", "list", "--json").json
    assert incident["severity"] == "warning"
