"""Rubrics: `rubrics/NAME.md` says what a judge looks for, on which scale, and which model judges.

Front matter, then the criteria; a heading "Examples" begins the examples. A mistake is one line: file, line, problem.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from watchkeeper.evaluation.scale import Scale, scale_named
from watchkeeper.foundation.errors import Misconfigured, NotFound
from watchkeeper.foundation.ids import content_hash
from watchkeeper.foundation.json_lines import read_text

Part = Literal["input", "response", "documents", "reference", "tool_results"]
"""What a judge may see of a request; `response` is what it judges."""
PARTS: tuple[Part, ...] = get_args(Part)

FORM = 1
"""Version of our own words around a rubric (evaluation.judge, evaluation.material); raise it with every change."""

_EXAMPLES = re.compile(r"^#{1,3} +examples\s*$", re.IGNORECASE | re.MULTILINE)
_OURS = {"messages", "model", "n", "response_format", "stream", "tool_choice", "tools"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric:
    """A rubric that was read whole and found right.

    Attributes:
        model: PROVIDER/MODEL of the judge.
        params: What the judge is called with, e.g. {"temperature": 0}.
        sees: The parts of a request the judge is shown; one without them cannot be judged.
        votes: How often each item is judged; the majority or the median counts.
        version: "sha256:…" over everything that can change a judgement; the name and the description cannot.
    """

    name: str
    description: str
    scale: Scale
    model: str
    params: Mapping[str, Any]
    sees: tuple[Part, ...]
    votes: int
    criteria: str
    examples: str
    version: str

    @property
    def provider(self) -> str:
        """The section of the configuration that answers."""
        return self.model.partition("/")[0]

    @property
    def model_name(self) -> str:
        """The model as its provider knows it."""
        return self.model.partition("/")[2]

    @property
    def route(self) -> str:
        """The route under which the judge's own calls are recorded."""
        return f"judge.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RubricShelf:
    """Where rubrics are kept, and the model that judges where a rubric names none."""

    folder: Path
    model: str | None = None

    def names(self) -> list[str]:
        """Every rubric, sorted."""
        return sorted(p.stem for p in self.folder.glob("*.md") if p.stem != "README") if self.folder.is_dir() else []

    def read(self, name: str) -> Rubric:
        """One rubric.

        Raises:
            NotFound: If there is none of that name; names the nearest.
            Misconfigured: If it is malformed; file and line are named.
        """
        if name not in self.names():
            raise NotFound("rubric", name, self.names(), where=f"in {self.folder}")
        path = self.folder / f"{name}.md"
        return _rubric(path, read_text(path), self.model)


class _FrontMatter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    scale: str
    model: str | None = None
    params: dict[str, Any] = {}
    sees: list[Part] = Field(["input", "response"], min_length=1)
    votes: int = Field(1, ge=1, le=15)

    @field_validator("scale")
    @classmethod
    def _exists(cls, value: str) -> str:
        return scale_named(value).name

    @field_validator("model")
    @classmethod
    def _names_a_provider(cls, value: str | None) -> str | None:
        if value is not None and not all(value.partition("/")):
            raise ValueError(f"write PROVIDER/MODEL, got {value[:60]!r}")
        return value

    @field_validator("params")
    @classmethod
    def _are_not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_OURS & set(value)):
            raise ValueError(f"{taken[0]} is set by watchkeeper")
        try:
            content_hash(value)
        except (TypeError, ValueError):
            raise ValueError("must be JSON values: texts, numbers, lists") from None
        return value

    @field_validator("sees")
    @classmethod
    def _hold_the_response(cls, value: list[Part]) -> list[Part]:
        if "response" not in value:
            raise ValueError("must hold response, which is what is judged")
        return [part for part in PARTS if part in value]


def _rubric(path: Path, text: str, default_model: str | None) -> Rubric:
    front, body, first_line = _parts(path, text)
    matter = _front_matter(path, front)
    model = matter.model or default_model
    if model is None:
        raise Misconfigured(f"{path}:1: model: is required, or set judge.model in watchkeeper.toml")
    criteria, _, examples = (_EXAMPLES.sub("\0", body, count=1)).partition("\0")
    if not criteria.strip():
        raise Misconfigured(f"{path}:{first_line}: there are no criteria; write below the front matter what is good")
    scale = scale_named(matter.scale)
    criteria, examples = criteria.strip(), examples.strip()
    return Rubric(
        name=path.stem,
        description=matter.description,
        scale=scale,
        model=model,
        params=matter.params,
        sees=tuple(matter.sees),
        votes=matter.votes,
        criteria=criteria,
        examples=examples,
        version=content_hash(
            [FORM, scale.name, model, matter.params, matter.sees, matter.votes, criteria, examples],
        ),
    )


def _parts(path: Path, text: str) -> tuple[str, str, int]:
    """Front matter, body, and the line the body begins in."""
    lines = text.replace("\r\n", "\n").replace("\0", "").split("\n")
    if lines[0].rstrip() != "---":
        raise Misconfigured(f"{path}:1: a rubric begins with front matter: ---, scale: 1-5, ---")
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == "---":
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]), number + 2
    raise Misconfigured(f"{path}:1: the front matter has no end; close it with a line ---")


def _front_matter(path: Path, front: str) -> _FrontMatter:
    try:
        raw = yaml.safe_load(front)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        raise Misconfigured(f"{path}:{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(raw, dict):
        raise Misconfigured(f"{path}:1: scale: is required")
    try:
        return _FrontMatter.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    place = [str(part) for part in first["loc"]]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"unknown field; known: {', '.join(_FrontMatter.model_fields)}"
    elif first["type"] == "missing":
        message = "is required"
    raise Misconfigured(f"{path}:{_line_of(front, place[0])}: {'.'.join(place)}: {message}")


def _line_of(front: str, key: str) -> int:
    """The line of the file in which a key of the front matter is written; 1 when it is not."""
    for number, line in enumerate(front.split("\n"), 2):
        if line.startswith(f"{key}:"):
            return number
    return 1
