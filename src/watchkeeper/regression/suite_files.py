"""Reads suites from their folders; every mistake is one line: file, line, field, problem."""

import contextlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from watchkeeper.evaluation import scorers as kinds
from watchkeeper.evaluation.rubric import Rubric, RubricShelf
from watchkeeper.evaluation.scorers import Score, ScoreFunction
from watchkeeper.foundation.errors import Misconfigured, NotFound, NothingToCheck
from watchkeeper.foundation.ids import content_hash
from watchkeeper.foundation.json_lines import json_lines, read_text
from watchkeeper.prompts.files import read_prompt
from watchkeeper.prompts.template import TemplateProblem
from watchkeeper.regression.suite import (
    Case,
    ContainsScorer,
    ExactScorer,
    FunctionScorer,
    JsonSchemaScorer,
    JudgeScorer,
    NumberScorer,
    PromptRef,
    PythonSyntaxScorer,
    RegexScorer,
    Scorer,
    ScorerSpec,
    Suite,
    SuiteSpec,
    check_messages,
    messages_of,
)


def suite_names(folder: Path) -> list[str]:
    """The suites in a folder, sorted: every subfolder with a suite.yaml."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if (p / "suite.yaml").is_file())


def read_suite(folder: Path, name: str, *, prompts: Path, rubrics: RubricShelf | None = None) -> Suite:
    """One suite, read whole and checked case by case before anything is paid for.

    Args:
        folder: The folder of all suites.
        name: The suite's folder name.
        prompts: The folder of prompt versions.
        rubrics: Where judges find what they judge by; default: the folder rubrics/ beside the folder of suites.

    Raises:
        NotFound: If there is no such suite, or no such rubric.
        Misconfigured: If it is malformed; file, line and field are named.
        NothingToCheck: If it has no cases.
    """
    names = suite_names(folder)
    if name not in names:
        raise NotFound("suite", name, names, where=f"in {folder}")
    home = folder / name
    spec = _read_spec(home / "suite.yaml")
    reference = spec.prompt if isinstance(spec.prompt, PromptRef) else None
    template = read_prompt(prompts, reference.id, reference.version) if reference else str(spec.prompt)
    shelf = rubrics or RubricShelf(folder=folder.parent / "rubrics")
    beside = {}
    ready = []
    for scorer in spec.scorers:
        rubric = _rubric_of(shelf, scorer, home / "suite.yaml")
        if rubric is not None:
            beside[f"rubric {rubric.name}"] = rubric.version
        needed = _file_of(scorer)
        if needed is not None:
            beside[needed] = read_text(home / needed, needed_by=f"{home / 'suite.yaml'}: scorer {scorer.name!r}")
        ready.append(
            Scorer(
                name=scorer.name,
                primary=scorer.primary,
                margin=scorer.margin,
                score=_score_function(home, scorer),
                rubric=rubric,
            )
        )
    cases = read_cases(home / "cases.jsonl")
    _check_renders(home / "cases.jsonl", template, cases)
    _check_slices(home / "cases.jsonl", cases, spec.slices)
    return Suite(
        name=name,
        version=content_hash(
            [spec.model_dump(mode="json"), template, [dict(case.fields) for case in cases], sorted(beside.items())]
        ),
        description=spec.description,
        routes=tuple(spec.routes),
        template=template,
        prompt=str(reference) if reference else None,
        params=spec.params,
        repeats=spec.repeats,
        scorers=tuple(ready),
        slices=tuple(spec.slices),
        cases=cases,
    )


def read_routes(folder: Path, name: str) -> tuple[str, ...]:
    """The routes a suite guards, without reading its cases.

    Raises:
        Misconfigured: If its suite.yaml is malformed.
    """
    return tuple(_read_spec(folder / name / "suite.yaml").routes)


def read_cases(path: Path) -> tuple[Case, ...]:
    """The cases of a JSON-lines file.

    Raises:
        Misconfigured: With file, line and field of the first mistake.
        NothingToCheck: If there is no case.
    """
    cases: list[Case] = []
    seen: dict[str, int] = {}
    for number, row in json_lines(path, needed_by="suite"):
        where = f"{path}:{number}"
        if not isinstance(row, dict):
            raise Misconfigured(f'{where}: a case is a JSON object, like {{"id": …, "input": …}}')
        case_id = row.get("id")
        if isinstance(case_id, int) and not isinstance(case_id, bool):
            case_id = str(case_id)
        if not isinstance(case_id, str) or not case_id:
            raise Misconfigured(f"{where}: id: every case needs one, a text")
        if case_id in seen:
            raise Misconfigured(f"{where}: id: {case_id!r} is taken by line {seen[case_id]}; ids are unique")
        given = row.get("input")
        if given is not None and not isinstance(given, str) and (problem := check_messages(given)):
            raise Misconfigured(f"{where}: input: {problem}")
        seen[case_id] = number
        cases.append(Case(id=case_id, fields={**row, "id": case_id}, line=number))
    if not cases:
        raise NothingToCheck(f'{path}: no cases; add at least one line like {{"id": "a", "input": "…"}}')
    return tuple(cases)


def check_renders(folder: Path, suite: Suite) -> None:
    """Refuse a suite whose template, perhaps of another prompt version, one of its cases cannot fill.

    Raises:
        Misconfigured: Names the file, the line and the case.
    """
    _check_renders(folder / suite.name / "cases.jsonl", suite.template, suite.cases)


def _check_renders(path: Path, template: str, cases: tuple[Case, ...]) -> None:
    for case in cases:
        try:
            messages_of(template, case)
        except TemplateProblem as problem:
            raise Misconfigured(f"{path}:{case.line}: case {case.id!r}: {problem}") from None


def _check_slices(path: Path, cases: tuple[Case, ...], slices: list[str]) -> None:
    for name in slices:
        if not any(name in case.fields for case in cases):
            raise Misconfigured(f"{path.with_name('suite.yaml')}: slices: no case has a field {name!r}")


def _read_spec(path: Path) -> SuiteSpec:
    text = read_text(path, needed_by="suite")
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise Misconfigured(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(raw, dict):
        raise Misconfigured(f"{path}:1: a suite is a mapping with scorers, prompt, …")
    try:
        return SuiteSpec.model_validate(raw)
    except ValidationError as error:
        raise Misconfigured(_explain(path, text, error)) from None


def _explain(path: Path, text: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    # Pydantic puts the names of union members into the place; people wrote only keys and indexes.
    written = [part for part in first["loc"] if isinstance(part, int) or _is_written(text, str(part))]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown field"
    elif first["type"] == "missing":
        written = [*written, str(first["loc"][-1])] if str(first["loc"][-1]) not in map(str, written) else written
        message = "is required"
    elif first["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        message = _about_kind(first)
    line = _line_of(text, list(first["loc"]))
    return f"{path}:{line}: {'.'.join(str(p) for p in written) or 'suite'}: {message}"


def _about_kind(error: Mapping[str, Any]) -> str:
    kinds_known = re.findall(r"'(\w+)'", error.get("ctx", {}).get("expected_tags", ""))
    given = error.get("ctx", {}).get("tag")
    if given is None:
        return f"kind: is required; one of {', '.join(kinds_known)}" if kinds_known else "kind: is required"
    near = get_close_matches(str(given), kinds_known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(kinds_known)}"
    return f"kind: there is no scorer {given!r}; {hint}"


def _is_written(text: str, key: str) -> bool:
    return any(
        line.strip().removeprefix("- ").lstrip("{ ").startswith(key) or f"{key}:" in line for line in text.splitlines()
    )


def _line_of(text: str, place: list[Any]) -> int:
    """The line of the deepest part of `place` that is written in the YAML; 1 when none is."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return int(line)


def _file_of(scorer: ScorerSpec) -> str | None:
    if isinstance(scorer, JsonSchemaScorer):
        return scorer.schema_file
    if isinstance(scorer, FunctionScorer):
        return scorer.function.split(":")[0]
    return None


def _rubric_of(shelf: RubricShelf, scorer: ScorerSpec, path: Path) -> Rubric | None:
    if not isinstance(scorer, JudgeScorer):
        return None
    try:
        return shelf.read(scorer.rubric)
    except NotFound as error:
        raise NotFound("rubric", error.name, error.known, where=f"in {shelf.folder}, needed by {path}") from None


def _not_judged(response: str, case: Mapping[str, Any]) -> Score:
    return Score(value=None, reason="not judged")


def _score_function(home: Path, scorer: ScorerSpec) -> ScoreFunction:
    match scorer:
        case JudgeScorer():
            return _not_judged
        case PythonSyntaxScorer():
            return kinds.python_syntax()
        case RegexScorer():
            return kinds.regex(
                pattern=scorer.compiled(), group=scorer.group, last=scorer.match == "last", equals=scorer.equals
            )
        case ExactScorer():
            return kinds.exact(equals=scorer.equals, ignore_case=scorer.ignore_case)
        case ContainsScorer():
            return kinds.contains(equals=scorer.equals, ignore_case=scorer.ignore_case)
        case NumberScorer():
            return kinds.number(equals=scorer.equals, last=scorer.match == "last", tolerance=scorer.tolerance)
        case JsonSchemaScorer():
            return kinds.json_schema(schema=_read_schema(home, scorer))
        case FunctionScorer():
            return kinds.function(call=_load_function(home, scorer), name=scorer.function)


def _read_schema(home: Path, scorer: JsonSchemaScorer) -> Mapping[str, Any]:
    path = home / scorer.schema_file
    try:
        schema = json.loads(read_text(path, needed_by=f"scorer {scorer.name!r}"))
        if not isinstance(schema, dict):
            raise ValueError("a schema is a JSON object")
        kinds.json_schema(schema=schema)
    except ValueError as error:
        raise Misconfigured(f"{path}: {error}") from None
    return schema


def _load_function(home: Path, scorer: FunctionScorer) -> Callable[[str, dict[str, Any]], Any]:
    filename, name = scorer.function.split(":")
    path = home / filename
    module_name = f"watchkeeper_suite_{home.name}_{path.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses in the team's file look themselves up here
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints must not stand in our document
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the team's own code, run at their request
        raise Misconfigured(f"{path}: cannot be loaded: {type(error).__name__}: {error}") from None
    call = getattr(module, name, None)
    if not callable(call):
        raise Misconfigured(f"{path}: has no function {name!r}, named by scorer {scorer.name!r}")
    if inspect.iscoroutinefunction(call):
        raise Misconfigured(f"{path}: {name} is `async def`; a scorer is an ordinary function")
    return call  # type: ignore[no-any-return]
