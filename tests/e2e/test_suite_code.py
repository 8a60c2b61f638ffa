"""A suite's own files, as teams write them: functions that exit, print and raise, schemas that lead nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SUITE, Project, recorded, write_recording
from tests.e2e.test_upgrade import UPGRADE, cases, prompts, two_models

OWN = "routes: [answers]\nprompt: '{{ input }}'\nscorers:\n  - {name: own, kind: python, function: 'scorers.py:f'}\n"


@pytest.mark.parametrize("body", ["import sys; sys.exit(0)", "raise SystemExit(0)", "raise ValueError('two\\nlines')"])
def test_a_scorer_that_leaves_or_raises_gives_no_score_and_no_verdict(
    project: Project, replay: Any, tmp_path: Path, body: str
) -> None:
    project.suite("s", cases(70), OWN, scorers=f"def f(response, case):\n    {body}\n")
    with replay([two_models(tmp_path, 70)]) as url:
        project.config(url)
        done = project.run(*UPGRADE, "--json")
    assert done.code == 3, done.err
    [scorer] = done.json["suites"][0]["scorers"]
    assert scorer["missing"] == {"baseline": 70, "candidate": 70}
    assert all("raised" in reason and "\n" not in reason for reason in scorer["unscored"])


def test_what_a_scorer_prints_does_not_stand_in_the_document(project: Project, replay: Any, tmp_path: Path) -> None:
    code = "print('loading')\n\ndef f(response, case):\n    print('hello')\n    return True\n"
    project.suite("s", cases(70), OWN, scorers=code)
    with replay([two_models(tmp_path, 70)]) as url:
        project.config(url)
        done = project.run(*UPGRADE, "--json")
    assert (done.code, json.loads(done.out)["verdict"]) == (0, "pass")
    assert "hello" in done.err


@pytest.mark.parametrize("value", ["np.float32(0.5)", "np.bool_(True)", "np.int64(1)"])
def test_a_scorer_may_answer_with_a_number_of_numpy(project: Project, replay: Any, tmp_path: Path, value: str) -> None:
    project.suite("s", cases(70), OWN, scorers=f"import numpy as np\n\ndef f(response, case):\n    return {value}\n")
    with replay([two_models(tmp_path, 70)]) as url:
        project.config(url)
        [scorer] = project.run(*UPGRADE, "--json").json["suites"][0]["scorers"]
    assert scorer["missing"] == {"baseline": 0, "candidate": 0}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit(0)", "cannot be loaded: SystemExit"),
        ("async def f(response, case):\n    return True\n", "`async def`"),
        ("g = 1", "has no function 'f'"),
    ],
)
def test_a_suite_whose_code_cannot_be_used_is_refused_before_anything_is_asked(
    project: Project, code: str, said: str
) -> None:
    project.suite("s", cases(5), OWN, scorers=code)
    project.config("http://127.0.0.1:9/v1")
    done = project.run(*UPGRADE)
    assert (done.code, said in done.err) == (2, True), done.err


@pytest.mark.parametrize("schema", [{"$ref": "#/definitions/q"}, {"properties": {"a": {"$ref": "other.json"}}}])
def test_a_schema_that_leads_nowhere_is_refused_before_anything_is_asked(
    project: Project, schema: dict[str, Any]
) -> None:
    yaml = (
        "routes: [answers]\nprompt: '{{ input }}'\nscorers: [{name: shape, kind: json_schema, schema: schema.json}]\n"
    )
    project.suite("s", cases(5), yaml)
    (project.root / "suites" / "s" / "schema.json").write_text(json.dumps(schema))
    project.config("http://127.0.0.1:9/v1")
    done = project.run(*UPGRADE)
    assert (done.code, "leads nowhere" in done.err) == (2, True), done.err


def test_a_schema_that_refers_to_itself_without_end_gives_no_score(
    project: Project, replay: Any, tmp_path: Path
) -> None:
    yaml = (
        "routes: [answers]\nprompt: '{{ input }}'\nscorers: [{name: shape, kind: json_schema, schema: schema.json}]\n"
    )
    project.suite("s", cases(5), yaml)
    (project.root / "suites" / "s" / "schema.json").write_text('{"$ref": "#"}')
    rows = [row for model in ("old-1", "new-1") for row in recorded(model, dict.fromkeys(prompts(5), "{}"))]
    with replay([write_recording(tmp_path / "calls.jsonl", rows)]) as url:
        project.config(url)
        done = project.run(*UPGRADE, "--json")
    assert done.code == 3, done.err
    assert done.json["suites"][0]["scorers"][0]["missing"]["candidate"] == 5


def test_a_prompt_version_that_the_cases_cannot_fill_is_refused_by_its_case(project: Project) -> None:
    project.suite("s", cases(5), SUITE)
    (project.root / "prompts" / "ans").mkdir(parents=True)
    (project.root / "prompts" / "ans" / "1.md").write_text("{{ nope }} {{ input }}")
    project.config("http://127.0.0.1:9/v1")
    done = project.run("check", "s", "--candidate", "ans@1")
    assert done.code == 2
    assert "cases.jsonl:1: case 'case-0': has no field 'nope', which the template needs" in done.err


def test_a_mistyped_kind_of_scorer_names_the_nearest(project: Project) -> None:
    project.suite("s", cases(5), "prompt: '{{ input }}'\nscorers: [{name: a, kind: exac, equals: x}]\n")
    project.config("http://127.0.0.1:9/v1")
    done = project.run("check", "s", "--candidate", "replay/new-1")
    assert (done.code, "there is no scorer 'exac'; did you mean 'exact'?" in done.err) == (2, True), done.err
