"""Templates with everything escaped; Markdown without raw HTML."""

import json
import re
import unicodedata
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from watchkeeper.foundation.clock import format_time


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.filters["time"] = _time
    environment.filters["mean"] = lambda value: "–" if value is None else f"{value:.3f}"
    environment.filters["signed"] = lambda value: "–" if value is None else f"{value:+.3f}"
    environment.filters["pretty"] = lambda value: json.dumps(value, ensure_ascii=False, indent=2, default=str)
    environment.filters["visible"] = visible
    environment.filters["inline"] = inline_html
    environment.filters["own_page"] = own_page
    return environment


def page(template: str, **context: Any) -> str:
    """One page as HTML. A variable the template needs and did not get is an error, not a blank."""
    return _environment().get_template(template).render(**context)


def markdown_html(text: str) -> Markup:
    """Markdown as HTML; HTML in it is shown, not run, and only web links become links."""
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(visible(text)))


def inline_html(text: str) -> Markup:
    """One line of Markdown as HTML, e.g. a first move with its command in backticks."""
    return Markup(MarkdownIt("commonmark", {"html": False}).renderInline(visible(text)))


def own_page(path: str) -> str:
    """The path of a page of this installation; anything else leads to the overview instead."""
    return path if re.fullmatch(r"/(?![/\\])[!-~]*", path) else "/"


def visible(text: str | None) -> str:
    """Text of a model with the characters that would hide or reorder it made visible."""
    if text is None:
        return "(no answer)"
    return "".join(c if _shows(c) else f"\\u{ord(c):04x}" for c in text)


def _shows(c: str) -> bool:
    return c in "\n\t" or c.isprintable() or unicodedata.category(c) == "Zs"  # a space of any width


def _finalized(value: Any) -> Any:
    """Every text of every page is made visible, not only where a template remembers to."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _time(at: datetime | None) -> str:
    return "–" if at is None else format_time(at)[:16].replace("T", " ") + " UTC"
