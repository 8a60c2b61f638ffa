"""Suites as people write them: read whole, and every mistake is one line with file, line and field."""

import json
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.foundation.errors import Misconfigured, NotFound, NothingToCheck
from watchkeeper.regression.suite import Suite, messages_of
from watchkeeper.regression.suite_files import read_suite

YAML = """\
description: d
routes: [r]
prompt: "Q: {{ input }}"
scorers:
  - {name: same, kind: exact, equals: "{{ reference }}", primary: true}
"""
CASES: list[Any] = [{"id": "a", "input": "1", "reference": "x"}, {"id": "b", "input": "2", "reference": "y"}]


def write(root: Path, yaml: str = YAML, cases: list[Any] | str | None = None, own: str | None = None) -> None:
    home = root / "suites" / "s"
    home.mkdir(parents=True, exist_ok=True)
    (home / "suite.yaml").write_text(yaml)
    rows = CASES if cases is None else cases
    (home / "cases.jsonl").write_text(rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows)))
    if own is not None:
        (home / "own.py").write_text(own)


def read(root: Path) -> Suite:
    return read_suite(root / "suites", "s", prompts=root / "prompts")


def problem(root: Path) -> str:
    with pytest.raises(Misconfigured) as caught:
        read(root)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(root), "")


def test_a_suite_is_read_whole(tmp_path: Path) -> None:
    write(tmp_path)
    suite = read(tmp_path)
    assert [case.id for case in suite.cases] == ["a", "b"]
    assert messages_of(suite.template, suite.cases[0]) == [{"role": "user", "content": "Q: 1"}]
    assert suite.version.startswith("sha256:")
    assert suite.scorers[0].margin == 0.05


def test_the_version_changes_with_anything_that_defines_the_suite(tmp_path: Path) -> None:
    own = "scorers:\n  - {name: own, kind: python, function: 'own.py:f'}\n"
    seen = set()
    for yaml, cases, code in [
        (own, CASES, "def f(r, c): return 1"),
        (own + "repeats: 2\n", CASES, "def f(r, c): return 1"),
        (own, CASES[:1], "def f(r, c): return 1"),
        (own, CASES, "def f(r, c): return 0"),
    ]:
        write(tmp_path, yaml, cases, own=code)
        seen.add(read(tmp_path).version)
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("scorers: [", "/suites/s/suite.yaml:"),
        ("- a\n", "/suites/s/suite.yaml:1: a suite is a mapping"),
        ("prompt: x\n", "suite.yaml:1: scorers: is required"),
        (YAML + "colour: red\n", "suite.yaml:6: colour: unknown field"),
        (YAML.replace("kind: exact", "kind: exakt"), "suite.yaml:5: scorers.0: kind: "),
        (YAML.replace("primary: true", "margin: 7"), "suite.yaml:5: scorers.0.margin: "),
        (YAML.replace('equals: "{{ reference }}", ', ""), "suite.yaml:5: scorers.0.equals: is required"),
        (YAML.replace("{{ input }}", "{{ input "), "suite.yaml:3: prompt: line 1 of the template"),
        (YAML + "  - {name: r, kind: regex, pattern: '(['}\n", "pattern is not a regular expression"),
        (YAML + "  - {name: r, kind: regex, pattern: 'a', group: 3}\n", "group 3 is not in the pattern"),
        (YAML + "  - {name: same, kind: python_syntax}\n", "the name 'same' is used twice"),
        (YAML + "slices: [colour]\n", "slices: no case has a field 'colour'"),
        (YAML + "  - {name: j, kind: json_schema, schema: none.json}\n", "none.json: no such file, needed by"),
    ],
)
def test_a_malformed_suite_is_one_line_with_file_line_and_field(tmp_path: Path, yaml: str, said: str) -> None:
    write(tmp_path, yaml)
    assert said in problem(tmp_path)


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ('{"id": "a", "input": "1", "reference": "x"}\n{oops', "cases.jsonl:2: not JSON"),
        ("[1]", "cases.jsonl:1: a case is a JSON object"),
        ('{"input": "1"}', "cases.jsonl:1: id: every case needs one"),
        ([CASES[0], {"id": "b", "input": "2"}, {"id": "a", "input": "3"}], "cases.jsonl:3: id: 'a' is taken by line 1"),
        (
            [CASES[0], {"id": "b", "text": "2"}],
            "cases.jsonl:2: case 'b': has no field 'input', which the template needs",
        ),
        ([{"id": "a", "input": 7}], "cases.jsonl:1: input: must be a text or a list of messages"),
        ([{"id": "a", "input": [{"role": "user"}]}], "cases.jsonl:1: input: message 1 needs a role and a content"),
        ([{"id": "a", "input": [{"role": "user", "content": "x"}]}], "case 'a': input is a list of messages"),
    ],
)
def test_a_bad_case_is_one_line_with_file_line_and_field(tmp_path: Path, cases: Any, said: str) -> None:
    write(tmp_path, cases=cases)
    assert said in problem(tmp_path)


def test_a_template_cannot_reach_what_python_hides(tmp_path: Path) -> None:
    write(tmp_path, YAML.replace("{{ input }}", "{{ input.__class__.__mro__ }}"))
    assert "case 'a'" in problem(tmp_path)


def test_no_cases_is_nothing_to_check(tmp_path: Path) -> None:
    write(tmp_path, cases="\n\n")
    with pytest.raises(NothingToCheck):
        read(tmp_path)


def test_an_unknown_suite_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "suites" / "s").rename(tmp_path / "suites" / "refunds")
    with pytest.raises(NotFound, match=r"No suite named 'refund'.*Did you mean 'refunds'"):
        read_suite(tmp_path / "suites", "refund", prompts=tmp_path)


def test_a_list_of_messages_goes_out_as_it_is(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    write(tmp_path, YAML.replace("Q: ", ""), [{"id": "a", "input": messages, "reference": "x"}])
    suite = read(tmp_path)
    assert messages_of(suite.template, suite.cases[0]) == messages


def test_a_registered_prompt_is_read_from_its_version_file(tmp_path: Path) -> None:
    write(tmp_path, YAML.replace('"Q: {{ input }}"', "{id: answer, version: 12}"))
    (tmp_path / "prompts" / "answer").mkdir(parents=True)
    (tmp_path / "prompts" / "answer" / "12.md").write_text("Twelve: {{ input }}\n")
    suite = read(tmp_path)
    assert suite.prompt == "answer@12"
    assert messages_of(suite.template, suite.cases[0])[0]["content"] == "Twelve: 1"


def test_a_function_file_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    write(tmp_path, "scorers:\n  - {name: own, kind: python, function: 'own.py:f'}\n", own="import nothing_like_it")
    assert "own.py: cannot be loaded: ModuleNotFoundError" in problem(tmp_path)
    write(tmp_path, "scorers:\n  - {name: own, kind: python, function: 'own.py:g'}\n", own="def f(r, c): return 1")
    assert "own.py: has no function 'g'" in problem(tmp_path)
