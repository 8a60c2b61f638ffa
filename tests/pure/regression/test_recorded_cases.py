"""A recorded call asks the same of `suites from-recording` as of `replay`."""

import json
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.providers.recorded import asked_key, read_recordings
from watchkeeper.regression.recorded_cases import cases_of

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "p1"}]


def recording(path: Path, **asked: Any) -> list[Path]:
    path = path / "calls.jsonl"
    path.write_text(json.dumps({"model": "m", "response": "r", **asked}) + "\n")
    return [path]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"prompt": "p0"}, "p0"),
        ({"prompt": "p0", "messages": None}, "p0"),
        ({"prompt": "p0", "messages": []}, "p0"),
        ({"prompt": "p0", "messages": MESSAGES}, "p0"),
        ({"prompt": ""}, ""),
        ({"prompt": "", "messages": MESSAGES}, ""),
        ({"prompt": None, "messages": MESSAGES}, MESSAGES),
        ({"messages": MESSAGES}, MESSAGES),
    ],
)
def test_a_prompt_that_is_a_text_wins_else_the_messages(tmp_path: Path, asked: dict[str, Any], expected: Any) -> None:
    files = recording(tmp_path, **asked)
    [case] = cases_of(files)
    assert case["input"] == expected
    messages = [{"role": "user", "content": expected}] if isinstance(expected, str) else expected
    assert read_recordings(files).find("m", messages) is not None, asked_key(messages)


@pytest.mark.parametrize(
    "asked",
    [{}, {"prompt": None}, {"prompt": 5}, {"messages": []}, {"prompt": None, "messages": "p"}, {"messages": ["p"]}],
)
def test_a_call_with_neither_is_refused_by_both_in_the_same_words(tmp_path: Path, asked: dict[str, Any]) -> None:
    files = recording(tmp_path, **asked)
    said = []
    for read in (read_recordings, cases_of):
        with pytest.raises(Misconfigured) as refusal:
            read(files)
        said.append(str(refusal.value))
    assert said[0] == said[1] == f"{files[0]}:1: prompt: needs a prompt (a text) or messages (a list of objects)"
