"""What the application knows: its prompts, the shop's orders, the help articles. Standard library only.

app.py, messages.py and simulate.py all ask here, so the words that are sent, the words that the
suites check and the words that were "recorded" are the same words. The orders are made up.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent
PROMPTS = {"triage": "1", "answer": "1"}  # the version in use; the suites name the same ones
PARAMS = {"triage": {"temperature": 0.0, "max_tokens": 100}, "answer": {"temperature": 0.3, "max_tokens": 400}}
CATEGORIES = ("delivery", "return", "billing", "account", "product")

_VARIABLE = re.compile(r"\{\{ (\w+) \}\}")
_ORDER_NUMBER = re.compile(r"\b[A-F]-\d{4}\b")


def render(prompt: str, **values: str) -> str:
    """The prompt in use, filled in; a customer who writes "{{ order }}" gets just that."""
    return _VARIABLE.sub(lambda found: values[found[1]], _template(prompt))


def order_number(message: str) -> str | None:
    """The first order number a customer mentions."""
    found = _ORDER_NUMBER.search(message)
    return found[0] if found else None


def order_text(number: str | None) -> str:
    """One line about an order, as the model is told it."""
    order = orders().get(number or "")
    if order is None:
        return "none that we know"
    return f"{number}, {order['item']}, {order['status']}, {order['total']} EUR"


def article_for(category: str) -> dict[str, str]:
    """The help article, `id` and `text`, that goes with a category."""
    return _articles()[category]


@cache
def orders() -> dict[str, dict[str, Any]]:
    """Every order of the shop by its number."""
    rows = map(json.loads, (HOME / "orders.jsonl").read_text("utf-8").splitlines())
    return {row["number"]: row for row in rows}


@cache
def _articles() -> dict[str, dict[str, str]]:
    return dict(json.loads((HOME / "articles.json").read_text("utf-8")))


@cache
def _template(prompt: str) -> str:
    return (HOME / "prompts" / prompt / f"{PROMPTS[prompt]}.md").read_text("utf-8").strip()
