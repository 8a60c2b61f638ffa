"""`stats compare`: rows in, one verdict per group, one line for a bad row."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchkeeper.cli.stats import app
from watchkeeper.foundation.errors import Misconfigured, NothingToCheck, Rejected


def run(text: str, *options: str) -> Result:
    """The command on standard input; what it refuses is raised, as the root command expects it."""
    result = CliRunner().invoke(app, ["compare", "-", *options], input=text)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows(*groups: tuple[str | None, int, int]) -> str:
    """(group, lost, cases) as JSON lines."""
    lines = []
    for group, lost, cases in groups:
        for i in range(cases):
            row = {"case": f"c{i}", "baseline": 1, "candidate": int(i >= lost)}
            lines.append(json.dumps(row if group is None else {**row, "group": group}))
    return "\n".join(lines) + "\n"


def groups_of(result: Result) -> dict[str, dict]:
    return json.loads(result.stdout)["groups"]


@pytest.mark.parametrize(
    ("text", "exit_code"),
    [
        (rows(("a", 0, 100)), 0),
        (rows(("a", 0, 100), ("b", 0, 20)), 3),
        (rows(("a", 0, 100), ("b", 0, 20), ("c", 30, 100)), 1),
    ],
)
def test_the_exit_code_is_the_worst_verdict(text, exit_code):
    assert run(text, "--json").exit_code == exit_code


def test_groups_are_compared_apart_and_rows_without_one_go_to_all():
    found = groups_of(run(rows(("a", 30, 100), (None, 0, 100)), "--json"))
    assert {name: (r["name"], r["verdict"], r["cases"]) for name, r in found.items()} == {
        "a": ("a", "regressed", 100),
        "all": ("all", "pass", 100),
    }


def test_the_margin_decides():
    text = rows((None, 0, 100))
    assert [groups_of(run(text, "--json", "--margin", m))["all"]["verdict"] for m in ("0.05", "0.02")] == [
        "pass",
        "inconclusive",
    ]


def test_repeats_booleans_nulls_and_absent_scores_are_read():
    text = (
        '{"case": "a", "repeat": 0, "baseline": true, "candidate": 0.5}\n\n'
        '{"case": "a", "repeat": 1, "baseline": 0, "candidate": null}\n'
        '{"case": 7, "baseline": 1}\n'
    )
    found = groups_of(run(text, "--json"))["all"]
    assert (found["cases"], found["method"], found["missing"]) == (2, "graded", {"baseline": 0, "candidate": 2})
    assert found["baseline_mean"] == pytest.approx(0.75)


NO_LABEL = "must be a string that is not empty, or a whole number"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"case": "b", "baseline": 1.2, "candidate": 1}', "baseline: 1.2 is not in [0, 1]"),
        ('{"case": "b", "baseline": 1, "candidate": -1}', "candidate: -1 is not in [0, 1]"),
        ('{"case": "b", "baseline": "1", "candidate": 1}', "baseline: must be a number in [0, 1], true, false or null"),
        ('{"case": "b", "baseline": NaN, "candidate": 1}', "row: not JSON (a missing score is null, never NaN)"),
        ('{"baseline": 1, "candidate": 1}', 'case: missing; every row names its case, {"case": "c1", …}'),
        ('{"case": "", "baseline": 1}', f"case: {NO_LABEL}"),
        ('{"case": "b"}', "baseline: neither baseline nor candidate is there; write null for a missing score"),
        (
            '{"case": "a", "baseline": 1, "candidate": 1}',
            "case: 'a' comes twice; number the repeats of a case with repeat",
        ),
        ('{"case": "b", "repeat": 1.5, "baseline": 1}', "repeat: must be a whole number or a string"),
        ('["b", 1, 1]', "row: must be a JSON object"),
        ('{"case": "b", "baseline": 1, "baseline": 0}', "baseline: comes twice in this row"),
        ('{"case": "b", "baseline": 1e999}', "row: not JSON (a missing score is null, never NaN)"),
        ('{"case": "b", "baseline": 1' + "0" * 400 + "}", "row: not JSON (a missing score is null, never NaN)"),
        ('{"case": "b", "baseline": Infinity}', "row: not JSON (a missing score is null, never NaN)"),
        ('{"case": "b", "group": ["x"], "baseline": 1}', f"group: {NO_LABEL}"),
        ('{"case": "b", "group": true, "baseline": 1}', f"group: {NO_LABEL}"),
        ("b,1,1", "row: not JSON (a missing score is null, never NaN)"),
    ],
)
def test_the_first_bad_row_is_named_with_its_field(row, problem):
    with pytest.raises(Rejected) as refused:
        run('{"case": "a", "baseline": 1, "candidate": 1}\n' + row + "\nnot reached\n")
    assert str(refused.value) == f"-:2: {problem}"
    assert refused.value.exit_code == 2


def test_a_case_that_comes_twice_with_its_repeat_is_refused():
    row = '{"case": "a", "repeat": 1, "baseline": 1, "candidate": 1}\n'
    with pytest.raises(Rejected, match="-:2: case: 'a' comes twice with repeat 1"):
        run(row * 2)


def test_a_byte_order_mark_other_line_ends_and_colons_in_text_do_no_harm():
    text = '\ufeff{"case": "a:b", "note": {"said": "x: y"}, "baseline": 1, "candidate": 1}\r\n\r\n'
    assert groups_of(run(text, "--json"))["all"]["cases"] == 1


def test_a_compressed_file_says_how_to_pass_it_on(tmp_path: Path):
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"case": "a", "baseline": 1}'))
    result = CliRunner().invoke(app, ["compare", str(file)])
    assert "row: this file is compressed; pass it on as text: gzip -dc FILE" in str(result.exception)


def test_a_group_s_name_stays_on_its_line():
    result = run(json.dumps({"case": "a", "group": "x\n\x1b[31my", "baseline": 1, "candidate": 1}))
    assert "x\\n\\x1b[31my: too few cases to pass: 1 of at least 59" in result.stdout


@pytest.mark.parametrize("text", ["", "\n  \n"])
def test_an_empty_file_is_neither_a_pass_nor_a_failure(text):
    with pytest.raises(NothingToCheck):
        run(text)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path):
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "none.jsonl")])
    assert isinstance(result.exception, Misconfigured)
    assert str(result.exception).endswith("none.jsonl: cannot be read: No such file or directory")


@pytest.mark.parametrize("margin", ["0", "1.5", "nan"])
def test_a_margin_that_is_no_share_is_refused(margin):
    with pytest.raises(Misconfigured, match="--margin: the margin is the loss you accept"):
        run(rows((None, 0, 10)), "--margin", margin)


def test_people_get_a_table_with_the_reason_below():
    result = run(rows(("[a]", 30, 100)))
    assert result.exit_code == 1
    assert "regressed" in result.stdout
    # Where Tango's score is +-1.645, the loss rate found by maximising the likelihood: -0.37983 and -0.23070.
    assert "[a]: worse: 23.1 to 38 points are lost (90 % interval)" in result.stdout
    assert "30 lost, 0 gained" in result.stdout
