"""The published figures of a real model upgrade, through the command line and HTTP."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import DATA, Project

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "llmdrift"
TASKS = ("code", "opinion", "prime")


@pytest.mark.skipif(
    not (DATA / "llmdrift").is_dir(), reason=f"the real answers are not at {DATA}; set WATCHKEEPER_DATA"
)
def test_the_upgrade_of_2023_gives_the_published_figures(project: Project, replay: Callable[..., Any]) -> None:
    shutil.copytree(EXAMPLE, project.root, dirs_exist_ok=True)
    files = [DATA / "llmdrift" / f"{task}.jsonl.gz" for task in TASKS]
    for task, file in zip(TASKS, files, strict=True):
        assert project.run("suites", "from-recording", str(file), "--into", f"suites/{task}").code == 0
    with replay(files) as base_url:
        config = project.root / "watchkeeper.toml"
        config.write_text(config.read_text().replace("http://127.0.0.1:8790/v1", base_url))
        done = project.run("upgrade", "--from", "replay/gpt-4-0314", "--to", "replay/gpt-4-0613", "--json")
        again = project.run("upgrade", "--from", "replay/gpt-4-0314", "--to", "replay/gpt-4-0613", "--json")

    assert done.code == 1, done.err
    document = done.json
    assert (document["verdict"], document["exit_code"]) == ("regressed", 1)
    suites = {suite["suite"]: suite for suite in document["suites"]}
    assert {name: (suite["cases"], suite["verdict"]) for name, suite in suites.items()} == {
        "code": (50, "regressed"),
        "opinion": (1506, "regressed"),
        "prime": (1000, "regressed"),
    }
    means = {
        (name, s["name"]): (round(s["baseline_mean"], 3), round(s["candidate_mean"], 3))
        for name, suite in suites.items()
        for s in suite["scorers"]
    }
    assert means["prime", "answer"] == (0.840, 0.511)
    assert means["code", "runs_as_is"] == (0.92, 0.12)
    assert means["opinion", "picks_an_option"] == (0.976, 0.221)
    slices = {part["name"]: part for part in suites["prime"]["scorers"][0]["slices"]}
    assert (slices["prime"]["baseline_mean"], slices["prime"]["candidate_mean"]) == (0.976, 0.024)
    assert (slices["composite"]["baseline_mean"], slices["composite"]["candidate_mean"]) == (0.704, 0.998)
    assert (slices["prime"]["finding"], slices["composite"]["finding"]) == ("worse", "better")
    assert len(suites["prime"]["newly_failing"]) == 476
    assert len(suites["prime"]["newly_passing"]) == 147
    assert suites["code"]["cost_usd"] == {"baseline": 1.05966, "candidate": 1.12752, "judge": 0.0}
    assert [s["errors"] for s in document["suites"]] == [[], [], []]

    # The same check again: the baseline is not paid for twice, and the team is not told twice.
    assert again.code == 1
    assert all(suite["baseline"]["reused"] and not suite["candidate"]["reused"] for suite in again.json["suites"])
    listed = project.run("incidents", "list", "--json").json
    assert [(i["kind"], i["status"], i["occurrences"]) for i in listed] == [("model-regressed", "firing", 2)]
