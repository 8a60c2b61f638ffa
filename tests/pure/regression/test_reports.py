"""What other programs read of a verdict: the worst cases, and JUnit XML that agrees with the exit code."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from watchkeeper.regression.attempt import AttemptResult
from watchkeeper.regression.compare import score_suite
from watchkeeper.regression.formats import junit_xml
from watchkeeper.regression.report import Side, SuiteOutcome, worst_cases
from watchkeeper.regression.suite_files import read_suite

HOSTILE = "a\x00b\x1b\ud800\ufffe<&]]>"


def scorer(name: str = "same", verdict: str = "pass", *, primary: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "primary": primary,
        "verdict": verdict,
        "reason": f"{name} is {verdict}",
        "difference": -0.1,
        "interval": [-0.2, 0.0],
    }


def report(*scorers: dict[str, Any], override: dict[str, str] | None = None, **suite: Any) -> ElementTree.Element:
    """The one test suite of the JUnit XML of a check."""
    each = {"suite": "s", "scorers": scorers, "newly_failing": [], "newly_passing": [], "errors": [], **suite}
    document = {"verdict": "pass", "run_id": "r", "override": override, "suites": [each]}
    found = ElementTree.fromstring(junit_xml(document)).find("testsuite")
    assert found is not None
    return found


def counts(suite: ElementTree.Element) -> tuple[int, ...]:
    for tag in ("failure", "error", "skipped"):
        attribute = {"failure": "failures", "error": "errors"}.get(tag, tag)
        assert len(list(suite.iter(tag))) == int(suite.attrib[attribute])
    assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
    return tuple(int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped"))


def test_a_pass_has_no_failure_whatever_changed_or_is_missing() -> None:
    missing = {"case": "c9", "repeat": 0, "side": "candidate", "error_type": "timeout", "message": None}
    suite = report(scorer(), newly_failing=["c1", "c2"], newly_passing=["c3"], errors=[missing])
    assert counts(suite) == (1, 0, 0, 0)
    said = suite.findtext("testcase/system-out", "")
    assert "newly failing by any primary scorer (2):\nc1\nc2\n" in said
    assert said.endswith("newly passing by any primary scorer (1):\nc3")
    assert "c9 #0 candidate: timeout" in suite.findtext("testcase/system-err", "")


@pytest.mark.parametrize(
    ("verdict", "primary", "expected"),
    [
        ("regressed", True, (1, 1, 0, 0)),
        ("regressed", False, (1, 0, 0, 0)),
        ("inconclusive", True, (1, 0, 0, 1)),
        ("inconclusive", False, (1, 0, 0, 0)),
    ],
)
def test_only_a_primary_scorer_that_regressed_is_a_failure(
    verdict: str, primary: bool, expected: tuple[int, ...]
) -> None:
    assert counts(report(scorer(verdict=verdict, primary=primary), newly_failing=["c1"])) == expected


def test_an_inconclusive_scorer_is_skipped_with_its_reason() -> None:
    skipped = report(scorer(verdict="inconclusive")).find("testcase/skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "same is inconclusive"


def test_an_overridden_check_has_no_failure_and_says_who_and_why() -> None:
    signed = {"by": "ada", "why": "the old model retires", "at": "2026-11-24T10:00:00Z"}
    suite = report(scorer("one", "regressed"), scorer("two", "inconclusive"), scorer("three"), override=signed)
    assert counts(suite) == (3, 0, 0, 2)
    assert suite[0].tag == "properties"  # JUnit's schema wants them first
    assert [p.attrib for p in suite[0]] == [{"name": "override", "value": "ada: the old model retires"}]
    assert [s.attrib["message"] for s in suite.iter("skipped")] == [
        "regressed, overridden by ada: one is regressed",
        "two is inconclusive",
    ]


def test_a_long_list_of_cases_is_cut_at_200() -> None:
    said = report(scorer(), newly_failing=[f"c{n}" for n in range(250)]).findtext("testcase/system-out", "")
    assert said.splitlines()[1:] == [*(f"c{n}" for n in range(200)), "and 50 more"]


def test_text_that_xml_cannot_hold_is_left_out() -> None:
    missing = {"case": HOSTILE, "repeat": 0, "side": "candidate", "error_type": HOSTILE, "message": HOSTILE}
    suite = report(
        {**scorer(HOSTILE, "regressed"), "reason": HOSTILE},
        {**scorer("other", "inconclusive"), "reason": HOSTILE},
        suite=HOSTILE,
        newly_failing=[HOSTILE],
        errors=[missing],
    )
    assert suite.attrib["name"] == "ab<&]]>"
    assert counts(suite) == (2, 1, 0, 1)


# -- worst cases ---------------------------------------------------------------------------------------


def side(answers: list[str | None]) -> Side:
    attempts = {
        ("c1", n): AttemptResult(
            case_id="c1", repeat=n, response=answer, finished_at=datetime(2026, 11, 24, tzinfo=UTC)
        )
        for n, answer in enumerate(answers)
    }
    return Side(model="p/m", prompt=None, run_id="r", reused=False, attempts=attempts)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (["yes", "yes", "yes"], ["yes", "yes", "wrong"], ("yes", "wrong")),
        (["bad", "yes", "yes"], ["yes", "bad", "wrong"], ("yes", "bad")),
        ([None, "bad", "yes"], [None, "wrong", "wrong"], ("yes", "wrong")),
    ],
)
def test_a_worst_case_shows_the_repeats_that_differ_most(
    tmp_path: Path, before: list[str | None], after: list[str | None], shown: tuple[str, str]
) -> None:
    home = tmp_path / "s"
    home.mkdir()
    (home / "cases.jsonl").write_text('{"id": "c1", "input": "?", "reference": "yes"}')
    (home / "suite.yaml").write_text(
        'prompt: "{{ input }}"\nrepeats: 3\n'
        'scorers:\n  - {name: same, kind: exact, equals: "{{ reference }}", primary: true}\n'
    )
    suite = read_suite(tmp_path, "s", prompts=tmp_path)
    old, new = side(before), side(after)
    results = score_suite(suite, old.attempts, new.attempts)
    [worst] = worst_cases(SuiteOutcome(suite=suite, baseline=old, candidate=new, results=results))
    assert (worst["baseline"], worst["candidate"]) == shown
