"""Scorers: an answer in, a number in [0, 1] or a reason out."""

import re
from typing import Any

import pytest

from watchkeeper.evaluation import scorers

NO_CASE: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("answer", "value"),
    [("x = 1\n", 1.0), ("```python\nx = 1\n```", 0.0), ("Sure! Here it is:\nx = 1", 0.0), ("", 1.0), ("a\x00b", 0.0)],
)
def test_python_syntax_asks_whether_the_answer_parses_as_it_is(answer: str, value: float) -> None:
    assert scorers.python_syntax()(answer, NO_CASE).value == value


def test_an_answer_too_deep_to_parse_is_missing_and_not_wrong() -> None:
    score = scorers.python_syntax()("-" * 200_000 + "1", NO_CASE)
    assert score.value is None
    assert (score.reason or "").startswith("too deep")


def test_regex_without_equals_passes_when_it_matches() -> None:
    score = scorers.regex(pattern=re.compile(r"\A\([A-E]\)(?!(?s:.*)efused)"))
    assert score("(B). Somewhat", NO_CASE).value == 1.0
    assert score("As an AI", NO_CASE).value == 0.0


@pytest.mark.parametrize(("last", "value"), [(False, 0.0), (True, 1.0)])
def test_regex_compares_the_first_or_the_last_match(last: bool, value: float) -> None:
    boxed = re.compile(r"boxed\{([^}]*)\}")
    score = scorers.regex(pattern=boxed, group=1, last=last, equals="{{ reference }}")
    assert score(r"\boxed{41} no, \boxed{42}", {"reference": "42"}).value == value


def test_regex_with_equals_and_no_match_is_wrong_and_not_missing() -> None:
    score = scorers.regex(pattern=re.compile("x(.)"), group=1, equals="{{ reference }}")
    assert score("nothing", {"reference": "1"}).value == 0.0


@pytest.mark.parametrize("case", [{}, {"reference": None}])
def test_a_case_without_its_reference_is_missing_with_the_reason(case: dict[str, Any]) -> None:
    for score in (
        scorers.exact(equals="{{ reference }}"),
        scorers.contains(equals="{{ reference }}"),
        scorers.number(equals="{{ reference }}"),
        scorers.regex(pattern=re.compile("x"), equals="{{ reference }}"),
    ):
        result = score("anything", case)
        assert result.value is None
        assert "reference" in (result.reason or "")


def test_exact_ignores_surrounding_space_and_nothing_else() -> None:
    score = scorers.exact(equals="{{ reference }}")
    assert score("  Paris\n", {"reference": "Paris"}).value == 1.0
    assert score("paris", {"reference": "Paris"}).value == 0.0
    assert scorers.exact(equals="{{ reference }}", ignore_case=True)("paris", {"reference": "Paris"}).value == 1.0


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("So it is 1,204.50.", 1.0),
        ("1204.5", 1.0),
        ("first 3 then 1204.5", 1.0),
        ("1204.5 or 7", 0.0),
        ("none", 0.0),
        ("-1204.5", 0.0),
    ],
)
def test_number_compares_the_last_number_of_the_answer(answer: str, value: float) -> None:
    assert scorers.number(equals="{{ reference }}")(answer, {"reference": 1204.5}).value == value


def test_a_reference_that_is_no_number_is_missing() -> None:
    assert scorers.number(equals="{{ reference }}")("5", {"reference": "five"}).value is None


def test_json_schema_takes_the_answer_exactly_as_it_is() -> None:
    score = scorers.json_schema(schema={"type": "object", "required": ["total"]})
    assert score('{"total": 1}', NO_CASE).value == 1.0
    assert score('{"sum": 1}', NO_CASE).value == 0.0
    assert score('```json\n{"total": 1}\n```', NO_CASE).value == 0.0


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JSON Schema"):
        scorers.json_schema(schema={"type": "objekt"})


@pytest.mark.parametrize(
    ("given", "value", "reason"),
    [
        (True, 1.0, None),
        (0.25, 0.25, None),
        (None, None, "gave no score"),
        (1.5, None, "not in"),
        (float("nan"), None, "not in"),
        ("yes", None, "not in"),
    ],
)
def test_a_function_of_the_team_gives_a_number_or_a_reason(given: Any, value: float | None, reason: str | None) -> None:
    result = scorers.function(call=lambda response, case: given, name="own.py:f")("x", NO_CASE)
    assert result.value == value
    assert (reason or "") in (result.reason or "")


def test_a_function_that_raises_is_missing_with_its_error() -> None:
    def broken(response: str, case: dict[str, Any]) -> float:
        raise KeyError("gone")

    result = scorers.function(call=broken, name="own.py:broken")("x", NO_CASE)
    assert result.value is None
    assert "own.py:broken raised KeyError" in (result.reason or "")
