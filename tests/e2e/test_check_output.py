"""What `upgrade` writes besides its verdict: reports that can be written, and the way to go on."""

import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.e2e.conftest import Project
from tests.e2e.test_upgrade import UPGRADE, cases, stored, two_models, wait_until


@pytest.mark.parametrize("option", ["--junit", "--summary"])
@pytest.mark.parametrize(("path", "why"), [("none/report", "there is no folder none"), (".", "it is a folder")])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_asked(
    project: Project, replay: Any, tmp_path: Path, option: str, path: str, why: str
) -> None:
    project.suite("s", cases(10))
    with replay([two_models(tmp_path, 10)]) as url:
        project.config(url)
        done = project.run(*UPGRADE, option, path)
    assert done.code == 2
    assert f"{path}: cannot be written: {why}" in done.err
    assert done.err.count("\n") == 1
    assert stored(project) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("option", ["--junit", "--summary"])
def test_a_report_that_fails_in_the_end_does_not_take_the_verdict_along(
    project: Project, replay: Any, tmp_path: Path, option: str
) -> None:
    project.suite("s", cases(80))
    with replay([two_models(tmp_path, 80)]) as url:
        project.config(url)
        done = project.run(*UPGRADE, option, "/dev/full")
        document = project.run(*UPGRADE, option, "/dev/full", "--json")
    assert done.code == 4
    assert "verdict: pass" in done.out
    assert "/dev/full: cannot be written: No space left on device" in done.err
    assert document.json["verdict"] == "pass"


def test_a_pass_in_which_cases_changed_is_green_in_ci(project: Project, replay: Any, tmp_path: Path) -> None:
    project.suite("s", cases(400))
    with replay([two_models(tmp_path, 400, wrong=1)]) as url:
        project.config(url)
        done = project.run(*UPGRADE, "--junit", "report.xml", "--summary", "summary.md")
    assert done.code == 0, done.out
    [suite] = ElementTree.parse(project.root / "report.xml").getroot()
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
    assert "case-0" in suite.findtext("testcase/system-out", "")
    assert (project.root / "summary.md").read_text().startswith("### watchkeeper: pass")


def test_a_fresh_run_that_was_stopped_goes_on_without_fresh(project: Project, replay: Any, tmp_path: Path) -> None:
    project.suite("s", cases(300))
    with replay([two_models(tmp_path, 300)], "--latency", "60") as url:
        project.config(url, provider="concurrency = 5")
        process = project.start(*UPGRADE, "--fresh")
        wait_until(lambda: stored(project) > 50, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "the same command without --fresh goes on from there" in err
        project.config(url)
        assert project.run(*UPGRADE).code == 0
    assert stored(project) == 600
