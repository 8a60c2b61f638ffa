"""Rubrics: read whole, every mistake one line with file and line; the version is what can change a judgement."""

from pathlib import Path

import pytest

from watchkeeper.evaluation.rubric import Rubric, RubricShelf
from watchkeeper.evaluation.scale import scale_named
from watchkeeper.foundation.errors import Misconfigured, NotFound

WHOLE = """---
description: Friendly.
scale: 1-5
model: openai/judge-1
params: {temperature: 0}
sees: [response, input]
votes: 3
---
The response is friendly.
It is short.

## Examples

"Go away." is a 1.
"""


def read(folder: Path, text: str = WHOLE, *, name: str = "tone", model: str | None = None) -> Rubric:
    (folder / f"{name}.md").write_text(text)
    return RubricShelf(folder=folder, model=model).read(name)


def test_a_rubric_is_front_matter_criteria_and_examples(tmp_path: Path) -> None:
    rubric = read(tmp_path)
    assert (rubric.name, rubric.scale.name, rubric.provider, rubric.model_name) == ("tone", "1-5", "openai", "judge-1")
    assert (rubric.criteria, rubric.examples) == ("The response is friendly.\nIt is short.", '"Go away." is a 1.')
    assert rubric.sees == ("input", "response")  # in our order, whatever was written
    assert (rubric.votes, rubric.route) == (3, "judge.tone")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1-5", "0-1"),
        ("judge-1", "judge-2"),
        ("temperature: 0", "temperature: 1"),
        ("[response, input]", "[response]"),
        ("votes: 3", "votes: 5"),
        ("is friendly.", "is very friendly."),
        ("is a 1", "is a 2"),
    ],
)
def test_whatever_can_change_a_judgement_makes_another_version(tmp_path: Path, old: str, new: str) -> None:
    assert read(tmp_path, WHOLE.replace(old, new)).version != read(tmp_path).version


def test_the_name_the_description_and_line_ends_do_not(tmp_path: Path) -> None:
    other = WHOLE.replace("Friendly.", "Kind.").replace("\n", "\r\n")
    assert read(tmp_path, other, name="other").version == read(tmp_path).version


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("---\ndesc", "desc", "tone.md:1: a rubric begins with front matter"),
        ("votes: 3\n---\n", "votes: 3\n", "tone.md:1: the front matter has no end"),
        ("scale: 1-5", "scale: 5-1", "tone.md:3: scale: there is no scale '5-1'; write pass_fail, 0-1, or whole"),
        ("scale: 1-5\n", "", "tone.md:1: scale: is required"),
        ("openai/judge-1", "judge-1", "tone.md:4: model: write PROVIDER/MODEL, got 'judge-1'"),
        ("{temperature: 0}", "{stream: true}", "tone.md:5: params: stream is set by watchkeeper"),
        ("{temperature: 0}", "{since: 2026-01-01}", "tone.md:5: params: must be JSON values"),
        ("[response, input]", "[input]", "tone.md:6: sees: must hold response"),
        ("votes: 3", "votes: 0", "tone.md:7: votes: Input should be greater than or equal to 1"),
        ("votes: 3", "vote: 3", "tone.md:7: vote: unknown field; known: description, scale"),
        ("{temperature: 0}", "{temperature", "tone.md:6: not YAML"),
        ("The response is friendly.\nIt is short.", "", "tone.md:9: there are no criteria"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        read(tmp_path, WHOLE.replace(old, new, 1))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_model_the_default_judges_and_without_that_it_is_a_mistake(tmp_path: Path) -> None:
    bare = WHOLE.replace("model: openai/judge-1\n", "")
    assert read(tmp_path, bare, model="p/m").model == "p/m"
    with pytest.raises(Misconfigured, match=r"model: is required, or set judge\.model"):
        read(tmp_path, bare)


def test_a_name_that_does_not_exist_names_the_nearest(tmp_path: Path) -> None:
    read(tmp_path)
    with pytest.raises(NotFound, match="Did you mean 'tone'"):
        RubricShelf(folder=tmp_path).read("tones")


@pytest.mark.parametrize(
    ("scale", "given", "value"),
    [
        ("pass_fail", "pass", 1.0),
        ("pass_fail", " Fail ", 0.0),
        ("pass_fail", True, None),
        ("pass_fail", 1, None),
        ("pass_fail", "passed", None),
        ("0-1", 0.62, 0.62),
        ("0-1", 1, 1.0),
        ("0-1", 1.01, None),
        ("0-1", "0.5", None),
        ("1-5", 1, 0.0),
        ("1-5", 4, 0.75),
        ("1-5", 5.0, 1.0),
        ("1-5", 0, None),
        ("1-5", 6, None),
        ("1-5", 4.5, None),
        ("1-5", True, None),
        ("1-5", float("nan"), None),
        ("0-10", 7, 0.7),
    ],
)
def test_a_scale_takes_what_is_on_it_and_nothing_else(scale: str, given: object, value: float | None) -> None:
    assert scale_named(scale).value(given) == value


@pytest.mark.parametrize(
    ("scale", "value", "label"),
    [("pass_fail", 1.0, "pass"), ("1-5", 0.75, "4"), ("1-5", 0.625, "3.5"), ("0-1", 0.62, "0.62")],
)
def test_a_value_is_said_in_the_words_of_its_scale(scale: str, value: float, label: str) -> None:
    assert scale_named(scale).label(value) == label
