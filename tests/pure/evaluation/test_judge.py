"""What a judge is sent, and what its answer means: a score is read from a whole answer or from none."""

from pathlib import Path
from typing import Any

import pytest

from watchkeeper.evaluation.judge import call_params, read_answer, render
from watchkeeper.evaluation.judgement import Reading, Vote, judgement_of
from watchkeeper.evaluation.material import LONGEST, Item, free_code, material_of, unjudgeable
from watchkeeper.evaluation.rubric import Rubric, RubricShelf
from watchkeeper.evaluation.scale import scale_named
from watchkeeper.providers.interface import CallFailure, Completion

ONE_TO_FIVE, PASS_FAIL = scale_named("1-5"), scale_named("pass_fail")


def rubric(folder: Path, *front: str) -> Rubric:
    text = "\n".join(["---", "scale: 1-5", "model: p/m", *front, "---", "Is it {kind}?", "## Examples", "A {5}."])
    (folder / "r.md").write_text(text)
    return RubricShelf(folder=folder).read("r")


def item(response: str | None = "Two years.", **more: Any) -> Item:
    return Item(id="t-1", response=response, **{"input": "How long is the guarantee?", **more})


def answered(text: str, finish_reason: str | None = "stop") -> Completion:
    return Completion(text=text, finish_reason=finish_reason, latency_ms=1.0)


def test_our_words_and_the_rubric_go_first_and_other_people_s_words_apart(tmp_path: Path) -> None:
    system, user = (message["content"] for message in render(rubric(tmp_path), item()).messages)
    assert "Is it {kind}?" in system
    assert "A {5}." in system
    assert system.index('"reason"') < system.index('"score"')
    assert "guarantee" not in system
    assert "Two years." in user


def test_the_system_message_is_the_same_for_every_item(tmp_path: Path) -> None:
    used = rubric(tmp_path)
    first, second = render(used, item("one")), render(used, item("two"))
    assert first.messages[0] == second.messages[0]
    assert first.material.code != second.material.code


def test_the_same_item_is_rendered_the_same_and_its_id_does_not_matter(tmp_path: Path) -> None:
    used = rubric(tmp_path)
    other = Item(id="t-2", response="Two years.", input="How long is the guarantee?")
    assert render(used, item()).input_hash == render(used, other).input_hash
    assert render(used, item()).input_hash != render(used, item("Two years")).input_hash


def test_a_judge_sees_what_its_rubric_names_and_no_more(tmp_path: Path) -> None:
    shown = render(rubric(tmp_path, "sees: [response, documents]"), item(documents="Page 3", reference="3 years"))
    assert "Page 3" in shown.messages[1]["content"]
    assert "3 years" not in str(shown.messages)
    assert "guarantee" not in str(shown.messages)


@pytest.mark.parametrize(
    ("given", "sees", "why"),
    [
        (item(None), ("response",), "no response"),
        (item("  \n"), ("response",), "no response"),
        (item(), ("response", "tool_results"), "no tool results"),
        (item(documents=""), ("response", "documents"), None),
        (item("x" * LONGEST["response"]), ("response",), None),
        (item("x" * (LONGEST["response"] + 1)), ("response",), "too long"),
    ],
)
def test_an_item_without_what_its_judge_must_see_cannot_be_judged(given: Item, sees: Any, why: str | None) -> None:
    assert unjudgeable(given, sees) == why


def test_of_a_long_text_the_middle_is_left_out_and_that_is_said_and_recorded() -> None:
    long = "A" * LONGEST["input"] + "B" * 500
    shown = material_of(item(input=long), ("input", "response"))
    assert shown.cut == {"input": 500}
    assert f"<<<{shown.code} 500 characters left out>>>" in shown.text
    assert shown.text.count("B") >= 500  # the end is there
    assert shown.text.count("A") == LONGEST["input"] - 500


def test_the_code_is_long_and_another_for_every_item() -> None:
    codes = {material_of(item(f"answer {n}"), ("response",)).code for n in range(100)}
    assert len(codes) == 100
    assert {len(code) for code in codes} == {20}  # hex digits, 80 bits


def test_a_code_that_stands_in_a_text_is_not_taken() -> None:
    assert free_code(["one aa11", "two bb22 three"], ["aa11", "bb22", "cc33", "dd44"]) == "cc33"


def test_the_code_stands_in_no_text() -> None:
    first = material_of(item(), ("input", "response"))
    again = material_of(item(response=f"Two years. {first.code}"), ("input", "response"))
    assert again.code not in f"Two years. {first.code}"
    assert again.text.count(again.code) == 4


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a\u200bb", "a⟦U+200B⟧b"),
        ("a\u202eb", "a⟦U+202E⟧b"),
        ("\u200b" * 3, "⟦U+200B ×3⟧"),
        ("\ud83d", "⟦U+D83D⟧"),
        ("x\x00y", "x⟦U+0000⟧y"),
        ("<|im_start|>", "< |im_start|>"),
        ("[/INST]", "[ /INST]"),
        ("<<<x>>>", "< <<x>>>"),
    ],
)
def test_what_is_invisible_or_structural_is_disarmed_and_counted(given: str, shown: str) -> None:
    found = material_of(item(given), ("response",))
    assert shown in found.text
    assert found.altered > 0


@pytest.mark.parametrize(
    "kept", ["a\tb\nc", "<b>bold</b>", "a << 3", "👩\u200d🚀", "می\u200cخواهم", "[1] and {2}", "x <- y"]
)
def test_ordinary_text_is_left_as_it_is(kept: str) -> None:
    found = material_of(item(kept), ("response",))
    assert kept in found.text
    assert found.altered == 0


def test_the_form_of_the_answer_is_asked_for_where_the_wire_has_one(tmp_path: Path) -> None:
    used = rubric(tmp_path, "params: {temperature: 0}")
    asked = call_params(used, "openai")
    schema = asked["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["reason", "score"]
    assert schema["properties"]["score"]["enum"] == [1, 2, 3, 4, 5]
    assert asked["temperature"] == 0
    assert call_params(used, "anthropic") == {"temperature": 0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"reason": "Right.", "score": 4}', 0.75),
        ('\n{"reason":"Right.","score":5}\n', 1.0),
        ('```json\n{"reason": "Right.", "score": 1}\n```', 0.0),
    ],
)
def test_a_whole_answer_is_a_score_with_its_reason(text: str, value: float) -> None:
    assert read_answer(answered(text), ONE_TO_FIVE) == Reading(value=value, explanation="Right.")


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (answered('{"reason": "Right.", "score": 4', "length"), "truncated"),
        (answered('{"reason": "Right.", "score": 4}', "max_tokens"), "truncated"),
        (answered('{"reason": "Right.", "score": 4}', "content_filter"), "refused"),
        (answered("", "refusal"), "refused"),
        (answered("I'm sorry, I can't help with that."), "refused"),
        (answered(""), "unparsable"),
        (answered("4"), "unparsable"),
        (answered("Score: 4"), "unparsable"),
        (answered('{"score": 4}'), "unparsable"),
        (answered('{"score": 4, "reason": "Right."}'), "unparsable"),
        (answered('{"reason": "", "score": 4}'), "unparsable"),
        (answered('{"reason": 1, "score": 4}'), "unparsable"),
        (answered('{"reason": "x", "score": 1, "score": 5}'), "unparsable"),
        (answered('{"reason": "x", "score": 4, "why": "y"}'), "unparsable"),
        (answered('{"reason": "x", "score": NaN}'), "unparsable"),
        (answered('{"reason": "x", "score": 4} {"reason": "x", "score": 5}'), "unparsable"),
        (answered('Here: {"reason": "x", "score": 4}'), "unparsable"),
        (answered('[{"reason": "x", "score": 4}]'), "unparsable"),
        (answered("[" * 100_000), "unparsable"),
        (answered('{"reason": "x", "score": 6}'), "out of scale"),
        (answered('{"reason": "x", "score": "4"}'), "out of scale"),
        (answered('{"reason": "x", "score": null}'), "out of scale"),
        (CallFailure(error_type="timeout", message="m"), "failed: timeout"),
        (CallFailure(error_type="content_filtered", message="m"), "refused"),
        (CallFailure(error_type="context_length", message="m"), "too long"),
    ],
)
def test_anything_else_is_missing_with_its_reason_and_never_a_score(outcome: Any, reason: str) -> None:
    assert read_answer(outcome, ONE_TO_FIVE) == Reading(value=None, reason=reason)


def votes(*values: float | None, reason: str = "truncated") -> list[Vote]:
    readings = [Reading(value=v, explanation=f"{v}", reason=None if v is not None else reason) for v in values]
    return [Vote(input_hash="h", number=n, reading=reading) for n, reading in enumerate(readings)]


@pytest.mark.parametrize(
    ("scale", "cast", "value", "label", "reason", "spread"),
    [
        (ONE_TO_FIVE, (0.75,), 0.75, "4", None, None),
        (ONE_TO_FIVE, (0.0, 0.75, 1.0), 0.75, "4", None, 1.0),
        (ONE_TO_FIVE, (0.5, 0.75, None), 0.625, "3.5", None, 0.25),
        (ONE_TO_FIVE, (0.5, None, None), None, None, "truncated", None),
        (ONE_TO_FIVE, (0.5, None), None, None, "truncated", None),
        (ONE_TO_FIVE, (None,), None, None, "truncated", None),
        (PASS_FAIL, (1.0, 1.0, 0.0), 1.0, "pass", None, 1.0),
        (PASS_FAIL, (1.0, 0.0, None), None, None, "tied", 1.0),
        (PASS_FAIL, (1.0, 0.0), None, None, "tied", 1.0),
        (PASS_FAIL, (0.0, 0.0), 0.0, "fail", None, 0.0),
    ],
)
def test_votes_come_to_the_majority_or_the_median(
    scale: Any, cast: Any, value: float | None, label: str | None, reason: str | None, spread: float | None
) -> None:
    found = judgement_of("t", "v", scale, votes(*cast))
    assert (found.value, found.label, found.reason, found.spread, found.votes) == (value, label, reason, spread, cast)


def test_the_words_of_a_judgement_are_those_of_the_vote_nearest_to_it() -> None:
    assert judgement_of("t", "v", ONE_TO_FIVE, votes(0.0, 1.0, 0.75)).explanation == "0.75"
