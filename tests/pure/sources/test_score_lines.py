"""Lines of scores to push back."""

import json
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.sources.interface import Remote, Score, Scored
from watchkeeper.sources.score_lines import BadScore, read_scores

TRACE = "0af7651916cd43dd8448eb211c80319c"
GOOD = {"trace_id": TRACE, "name": "tone", "value": 0.5}


def read(tmp_path: Path, *lines: Any) -> list[tuple[int, Scored | BadScore]]:
    file = tmp_path / "scores.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return list(read_scores(file))


def test_a_whole_line_is_taken_as_it_is(tmp_path: Path) -> None:
    line = {**GOOD, "span_id": "b7ad6b7169203331", "label": "fair", "explanation": "…", "by": "code"}
    assert read(tmp_path, line) == [
        (
            1,
            Scored(
                trace_id=TRACE,
                span_id="b7ad6b7169203331",
                name="tone",
                value=0.5,
                label="fair",
                explanation="…",
                by="code",
            ),
        )
    ]


@pytest.mark.parametrize("value", [0, 1])
def test_both_ends_of_the_scale_are_scores(tmp_path: Path, value: int) -> None:
    [(_, found)] = read(tmp_path, {**GOOD, "value": value})
    assert isinstance(found, Scored)


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"value": 1.01}, "value", "from 0 to 1"),
        ({"value": -0.01}, "value", "from 0 to 1"),
        ({"value": None}, "value", "missing"),
        ({"value": True}, "value", "must be a number"),
        ({"trace_id": "abc"}, "trace_id", "32 hexadecimal digits"),
        ({"span_id": "abc"}, "span_id", "16 hexadecimal digits"),
        ({"name": ""}, "name", "missing"),
        ({"by": "robot"}, "by", "llm, code or human"),
        ({"score": 1}, "score", "is not known"),
    ],
)
def test_a_bad_line_names_field_and_problem_and_the_next_one_is_read(
    tmp_path: Path, change: dict[str, Any], field: str, problem: str
) -> None:
    (number, bad), (_, good) = read(tmp_path, "", {**GOOD, **change}, GOOD)
    assert number == 2
    assert isinstance(bad, BadScore)
    assert bad.field == field
    assert problem in bad.problem
    assert isinstance(good, Scored)


@pytest.mark.parametrize("line", ["{", "[]", '{"value": NaN}', "[" * 100_000])
def test_what_is_no_json_object_is_told(tmp_path: Path, line: str) -> None:
    [(_, bad)] = read(tmp_path, line)
    assert isinstance(bad, BadScore)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no such file"):
        list(read_scores(tmp_path / "none.jsonl"))


def test_the_id_of_a_score_is_of_its_scorer_and_span_alone() -> None:
    def score(name: str = "tone", span_id: str = "b7ad6b7169203331", value: float = 0.5) -> Score:
        remote = Remote(trace_id=TRACE, span_id=span_id, remote_trace_id="t", remote_id="r")
        return Score(remote=remote, name=name, value=value)

    assert score().id == score(value=0.9).id
    assert len({score().id, score("length").id, score(span_id="00f067aa0ba902b7").id}) == 3
