"""The application that is watched: a ticket is sorted by one call, then answered by a second one.

    python app.py "My order A-1042 has not arrived"

It speaks to any OpenAI-style API: DESK_BASE_URL (default: the replay server of README.md),
DESK_MODEL (default desk-2026-09), DESK_API_KEY. With the SIMULATED model of this example it can
answer the messages of suites/*/cases.jsonl; answers are replayed, never made up.
"""

import json
import os
import sys
from dataclasses import dataclass

import desk
import httpx


@dataclass(frozen=True)
class Ticket:
    """A ticket as the rest of the shop gets it."""

    category: str
    priority: str
    answer: str


def handle(client: httpx.Client, model: str, message: str) -> Ticket:
    """Sort one message, then answer it.

    Raises:
        ValueError: If the model's triage is not the JSON object it was asked for.
        httpx.HTTPError: If the provider cannot be reached or refuses.
    """
    category, priority = triage(client, model, message)
    return Ticket(category, priority, answer(client, model, message, category))


def triage(client: httpx.Client, model: str, message: str) -> tuple[str, str]:
    """Route support.triage: the category and the priority of a message."""
    sorted_as = json.loads(_ask(client, model, "triage", input=message))  # a Markdown fence breaks here
    return sorted_as["category"], sorted_as["priority"]


def answer(client: httpx.Client, model: str, message: str, category: str) -> str:
    """Route support.answer: the reply, written from the order and the help article."""
    order = desk.order_text(desk.order_number(message))
    return _ask(client, model, "answer", input=message, order=order, article=desk.article_for(category)["text"])


def _ask(client: httpx.Client, model: str, prompt: str, **values: str) -> str:
    messages = [{"role": "user", "content": desk.render(prompt, **values)}]
    response = client.post("chat/completions", json={"model": model, "messages": messages, **desk.PARAMS[prompt]})
    response.raise_for_status()
    return str(response.json()["choices"][0]["message"]["content"])


def main() -> int:
    """Handle the message on the command line."""
    if len(sys.argv) != 2:
        print('usage: python app.py "MESSAGE"', file=sys.stderr)
        return 2
    base_url = os.environ.get("DESK_BASE_URL", "http://127.0.0.1:8790/v1")
    headers = {"Authorization": f"Bearer {os.environ['DESK_API_KEY']}"} if "DESK_API_KEY" in os.environ else {}
    with httpx.Client(base_url=base_url, headers=headers, timeout=30) as client:
        try:
            ticket = handle(client, os.environ.get("DESK_MODEL", "desk-2026-09"), sys.argv[1])
        except httpx.HTTPError as error:
            print(f"the provider failed: {error}", file=sys.stderr)
            return 1
        except (ValueError, LookupError) as error:
            print(f"the triage is not the JSON we asked for, a person must sort this: {error}", file=sys.stderr)
            return 1
    print(f"{ticket.category}, {ticket.priority} priority\n\n{ticket.answer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
