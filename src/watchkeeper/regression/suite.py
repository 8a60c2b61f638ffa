"""A suite as written: what is asked, of which routes, and how an answer is scored.

`suites/NAME/suite.yaml` and `suites/NAME/cases.jsonl` are outside data, so every mistake in them
is one line with the file, the line and the field.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from watchkeeper.evaluation.rubric import Rubric
from watchkeeper.evaluation.scorers import ScoreFunction
from watchkeeper.foundation.ids import content_hash
from watchkeeper.prompts.template import TemplateProblem, check, is_bare_variable, render
from watchkeeper.providers.interface import Message

DEFAULT_MARGIN = 0.05


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptRef(_Spec):
    """A prompt version of prompts/ID/VERSION.md."""

    id: str
    version: Annotated[str, Field(coerce_numbers_to_str=True)]

    def __str__(self) -> str:
        return f"{self.id}@{self.version}"


class _Scorer(_Spec):
    name: str = Field(min_length=1, max_length=80)
    primary: bool = False
    margin: float = Field(DEFAULT_MARGIN, gt=0, lt=1)


class _Comparing(_Scorer):
    equals: str

    @field_validator("equals", mode="before")
    @classmethod
    def _plain_values_are_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("equals")
    @classmethod
    def _is_a_template(cls, value: str) -> str:
        check(value)
        return value


class PythonSyntaxScorer(_Scorer):
    """The answer parses as Python as it is."""

    kind: Literal["python_syntax"]


class RegexScorer(_Scorer):
    """A pattern is found, or its group equals something."""

    kind: Literal["regex"]
    pattern: str
    group: int | str = 0
    match: Literal["first", "last"] = "first"
    equals: str | None = None
    ignore_case: bool = False

    @model_validator(mode="after")
    def _compiles(self) -> "RegexScorer":
        pattern = self.compiled()
        known = set(pattern.groupindex) | set(range(pattern.groups + 1))
        if self.group not in known:
            raise ValueError(f"group {self.group!r} is not in the pattern; it has {sorted(map(str, known))}")
        if self.equals is not None:
            check(self.equals)
        return self

    def compiled(self) -> re.Pattern[str]:
        """The pattern with its flags."""
        try:
            return re.compile(self.pattern, re.IGNORECASE if self.ignore_case else 0)
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression: {error}") from None


class ExactScorer(_Comparing):
    """The answer is the expected text."""

    kind: Literal["exact"]
    ignore_case: bool = False


class ContainsScorer(_Comparing):
    """The expected text stands somewhere in the answer."""

    kind: Literal["contains"]
    ignore_case: bool = False


class NumberScorer(_Comparing):
    """The last (or first) number of the answer is the expected one."""

    kind: Literal["number"]
    match: Literal["first", "last"] = "last"
    tolerance: float = Field(0.0, ge=0)


class JsonSchemaScorer(_Scorer):
    """The answer is JSON that the schema in a file beside suite.yaml accepts."""

    kind: Literal["json_schema"]
    schema_file: str = Field(alias="schema")


class FunctionScorer(_Scorer):
    """A function in a file beside suite.yaml, "scorers.py:name"."""

    kind: Literal["python"]
    function: str = Field(pattern=r"^[^:]+\.py:[A-Za-z_]\w*$")


class JudgeScorer(_Scorer):
    """A model judges the answer by a rubric, rubrics/NAME.md."""

    kind: Literal["judge"]
    rubric: str = Field(min_length=1)


ScorerSpec = Annotated[
    PythonSyntaxScorer
    | RegexScorer
    | ExactScorer
    | ContainsScorer
    | NumberScorer
    | JsonSchemaScorer
    | FunctionScorer
    | JudgeScorer,
    Field(discriminator="kind"),
]


class SuiteSpec(_Spec):
    """suite.yaml."""

    description: str = ""
    routes: list[str] = []
    prompt: str | PromptRef = "{{ input }}"
    params: dict[str, Any] = {}
    repeats: int = Field(1, ge=1, le=100)
    scorers: list[ScorerSpec] = Field(min_length=1)
    slices: list[str] = []

    @field_validator("prompt")
    @classmethod
    def _is_a_template(cls, value: str | PromptRef) -> str | PromptRef:
        if isinstance(value, str):
            check(value)
        return value

    @model_validator(mode="after")
    def _names_are_unique(self) -> "SuiteSpec":
        names = [scorer.name for scorer in self.scorers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"scorers: the name {twice[0]!r} is used twice")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One example: its id and all its fields, `id`, `input`, `reference`, … as written."""

    id: str
    fields: Mapping[str, Any]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """A scorer ready to be called.

    Attributes:
        rubric: A judge scores by it; `score` then knows only what has been judged (regression.judged).
    """

    name: str
    primary: bool
    margin: float
    score: ScoreFunction
    rubric: Rubric | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite that was read whole and found right.

    Attributes:
        version: Hash of everything that defines it: suite.yaml, cases, prompt text, files beside it.
        template: The prompt's text.
        prompt: "id@version" when the prompt is a registered one, else None.
    """

    name: str
    version: str
    description: str
    routes: tuple[str, ...]
    template: str
    prompt: str | None
    params: Mapping[str, Any]
    repeats: int
    scorers: tuple[Scorer, ...]
    slices: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def primaries(self) -> tuple[Scorer, ...]:
        """The scorers that decide; all of them when none is marked."""
        return tuple(s for s in self.scorers if s.primary) or self.scorers


def messages_of(template: str, case: Case) -> list[Message]:
    """The chat messages of one case.

    A template that is just "{{ input }}" passes a list of messages on as it is; any other text
    becomes one user message.

    Raises:
        TemplateProblem: If the case lacks what the template needs.
    """
    given = case.fields.get("input")
    if isinstance(given, list):
        if not is_bare_variable(template, "input"):
            raise TemplateProblem('input is a list of messages, so the prompt must be just "{{ input }}"')
        return given
    values = {name: value for name, value in case.fields.items() if value is not None}
    return [{"role": "user", "content": render(template, values)}]


def check_messages(value: Any) -> str | None:
    """What is wrong with a case's list of messages, or None."""
    if not isinstance(value, list) or not value:
        return "must be a text or a list of messages"
    for index, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str) or "content" not in message:
            return f"message {index + 1} needs a role and a content"
    return None


def identity(suite: Suite, *, provider: str, model: str, asked: Sequence[tuple[str, list[Message]]]) -> str:
    """Equal for runs that ask the same questions of the same model in the same way.

    Scorers are left out on purpose: answers do not depend on how they are scored, so a changed
    scorer never makes anybody pay again.
    """
    return content_hash(
        {
            "suite": suite.name,
            "provider": provider,
            "model": model,
            "params": suite.params,
            "repeats": suite.repeats,
            "asked": [[case_id, messages] for case_id, messages in asked],
        }
    )
