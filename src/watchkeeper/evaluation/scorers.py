"""Deterministic scorers: an answer and its case in, a number in [0, 1] out, or none and a reason.

"Could not score" is never 0: a case without the reference it needs, or a scorer that raised, is
missing and is counted as missing.
"""

import ast
import contextlib
import json
import math
import re
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from watchkeeper.prompts.template import TemplateProblem, render

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<![\w.])[-+]?\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number in [0, 1], or None with the reason there is none."""

    value: float | None
    reason: str | None = None


ScoreFunction = Callable[[str, Mapping[str, Any]], Score]
"""(answer, case fields) -> Score. Never raises."""

_RIGHT, _WRONG = Score(value=1.0), Score(value=0.0)


def python_syntax() -> ScoreFunction:
    """1 when the answer, exactly as it is, parses as Python."""

    def score(response: str, case: Mapping[str, Any]) -> Score:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(response)
        except (SyntaxError, ValueError):
            return _WRONG
        except (RecursionError, MemoryError) as error:
            return Score(value=None, reason=f"too deep to parse ({type(error).__name__})")
        return _RIGHT

    return score


def regex(
    *, pattern: re.Pattern[str], group: int | str = 0, last: bool = False, equals: str | None = None
) -> ScoreFunction:
    """1 when the pattern is found, or when the text of its group equals the rendered `equals`.

    Args:
        pattern: Searched for anywhere in the answer.
        group: Number or name of the group to compare.
        last: Compare the last match instead of the first.
        equals: Template of the expected text, or None to ask only whether it matches. Compared
            without surrounding space, and without case where the pattern ignores case.
    """
    folded = bool(pattern.flags & re.IGNORECASE)

    def score(response: str, case: Mapping[str, Any]) -> Score:
        if equals is None:
            return _RIGHT if pattern.search(response) else _WRONG
        matches = pattern.finditer(response)
        found = deque(matches, maxlen=1).pop() if last and pattern.search(response) else next(matches, None)
        text = found.group(group) if found else None
        return _same(text, equals, case, folded) if text is not None else _expected(equals, case, _WRONG)

    return score


def exact(*, equals: str, ignore_case: bool = False) -> ScoreFunction:
    """1 when the answer is the rendered `equals`, apart from surrounding space."""

    def score(response: str, case: Mapping[str, Any]) -> Score:
        return _same(response, equals, case, ignore_case)

    return score


def contains(*, equals: str, ignore_case: bool = False) -> ScoreFunction:
    """1 when the rendered `equals` stands somewhere in the answer."""

    def score(response: str, case: Mapping[str, Any]) -> Score:
        wanted = _wanted(equals, case)
        if isinstance(wanted, Score):
            return wanted
        if ignore_case:
            return _RIGHT if wanted.casefold() in response.casefold() else _WRONG
        return _RIGHT if wanted in response else _WRONG

    return score


def number(*, equals: str, last: bool = True, tolerance: float = 0.0) -> ScoreFunction:
    """1 when the last (or first) number of the answer equals the rendered `equals` as a number.

    "1,204.50" and "1204.5" are equal. An answer without a number is 0: it did not give one.
    """

    def score(response: str, case: Mapping[str, Any]) -> Score:
        wanted = _wanted(equals, case)
        if isinstance(wanted, Score):
            return wanted
        try:
            target = float(wanted.replace(",", ""))
        except ValueError:
            return Score(value=None, reason=f"the expected value {wanted[:40]!r} is not a number")
        found = _NUMBER.findall(response)
        if not found:
            return _WRONG
        given = float(found[-1 if last else 0].replace(",", ""))
        return _RIGHT if math.isclose(given, target, rel_tol=1e-12, abs_tol=tolerance) else _WRONG

    return score


def json_schema(*, schema: Mapping[str, Any]) -> ScoreFunction:
    """1 when the answer, exactly as it is, is JSON that the schema accepts.

    Raises:
        ValueError: If the schema itself is not a JSON Schema.
    """
    import jsonschema
    from referencing import Registry

    validator_class = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        validator_class.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from None
    _check_references(schema)
    # A registry of its own: nothing that a schema refers to is fetched from anywhere.
    validator = validator_class(schema, registry=Registry())

    def score(response: str, case: Mapping[str, Any]) -> Score:
        try:
            value = json.loads(response)
        except ValueError:
            return _WRONG
        except RecursionError:
            return Score(value=None, reason="too deep to parse (RecursionError)")
        try:
            return _RIGHT if validator.is_valid(value) else _WRONG
        except Exception as error:  # a schema that refers to itself without end, a pattern that cannot be read
            return Score(value=None, reason=f"the schema cannot be applied ({type(error).__name__})")

    return score


def function(*, call: Callable[[str, dict[str, Any]], Any], name: str) -> ScoreFunction:
    """A function of the suite's own: (response, case) -> bool, a number in [0, 1], or None."""

    def score(response: str, case: Mapping[str, Any]) -> Score:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what it prints must not stand in our document
                value = call(response, dict(case))
            if type(value).__module__ == "numpy":
                value = value.item()
        except (Exception, SystemExit) as error:  # the team's own code; whatever it raises is a missing score
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return Score(value=None, reason=f"{name} raised {said}"[:200])
        if value is None:
            return Score(value=None, reason=f"{name} gave no score")
        if isinstance(value, bool | int | float) and 0 <= value <= 1:
            return Score(value=float(value))
        return Score(value=None, reason=f"{name} gave {value!r:.40}, which is not in [0, 1]")

    return score


def _check_references(schema: Mapping[str, Any]) -> None:
    """Refuse a schema with a $ref that leads nowhere, before anything is paid for.

    Raises:
        ValueError: Names it.
    """
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    found = list(_references(schema))
    if sum(1 for key, _ in found if key == "$id") > ("$id" in schema):
        return  # parts with names of their own: what a $ref means depends on where it stands
    resource = Resource.from_contents(dict(schema), default_specification=DRAFT202012)
    base = resource.id() or ""
    resolver = Registry().with_resource(base, resource).resolver(base_uri=base)
    for key, value in found:
        if key == "$ref":
            try:
                resolver.lookup(value)
            except Unresolvable:
                raise ValueError(f"$ref {value!r} leads nowhere; what it names must stand in this file") from None


def _references(schema: Any) -> Iterator[tuple[str, str]]:
    """Every $id and $ref, as (which, value)."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            yield from ((key, part[key]) for key in ("$id", "$ref") if isinstance(part.get(key), str))
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _wanted(template: str, case: Mapping[str, Any]) -> str | Score:
    """The expected text, or the missing score that says why there is none."""
    try:
        return render(template, {name: value for name, value in case.items() if value is not None}).strip()
    except TemplateProblem as problem:
        return Score(value=None, reason=f"no expected value: {problem}")


def _same(text: str, template: str, case: Mapping[str, Any], ignore_case: bool) -> Score:
    wanted = _wanted(template, case)
    if isinstance(wanted, Score):
        return wanted
    given = text.strip()
    if ignore_case:
        given, wanted = given.casefold(), wanted.casefold()
    return _RIGHT if given == wanted else _WRONG


def _expected(template: str, case: Mapping[str, Any], otherwise: Score) -> Score:
    wanted = _wanted(template, case)
    return wanted if isinstance(wanted, Score) else otherwise
