"""A prompt template: checked once, rendered per case, never able to run code."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)


class TemplateProblem(ValueError):
    """A template that cannot be read, or a value it needs and did not get."""


@lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    try:
        return _ENVIRONMENT.from_string(source)
    except TemplateSyntaxError as error:
        raise TemplateProblem(f"line {error.lineno} of the template: {error.message}") from None


def check(source: str) -> frozenset[str]:
    """The names of the variables a template uses.

    Raises:
        TemplateProblem: If it is not a template.
    """
    _compiled(source)
    return frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(source)))


def is_bare_variable(source: str, name: str) -> bool:
    """Whether the template is exactly one variable, e.g. "{{ input }}", and nothing else."""
    body = _ENVIRONMENT.parse(source.strip()).body
    if len(body) != 1 or not isinstance(body[0], nodes.Output) or len(body[0].nodes) != 1:
        return False
    only = body[0].nodes[0]
    return isinstance(only, nodes.Name) and only.name == name


def render(source: str, values: Mapping[str, Any]) -> str:
    """The text of a template with its variables filled in.

    Raises:
        TemplateProblem: If a variable is missing or the template does something forbidden.
    """
    try:
        return _compiled(source).render(values)
    except UndefinedError as error:
        name = re.match(r"'(\w+)' is undefined", str(error.message))
        raise TemplateProblem(
            f"has no field {name[1]!r}, which the template needs" if name else str(error.message)
        ) from None
    except SecurityError as error:
        raise TemplateProblem(f"forbidden in a template: {error}") from None
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise TemplateProblem(f"{type(error).__name__}: {error}") from None
