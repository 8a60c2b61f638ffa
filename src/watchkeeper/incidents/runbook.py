"""Runbook pages: one Markdown file per incident kind, the team's own before ours."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from watchkeeper.foundation.clock import format_time
from watchkeeper.foundation.errors import Misconfigured, NotFound
from watchkeeper.incidents.incident import Incident
from watchkeeper.incidents.kinds import KINDS

HEADINGS = ("Meaning", "Impact", "First move", "Diagnosis", "Mitigation", "Escalate", "After")
FIRST_MOVE_MAX = 160
_FENCE = "---"
_BEFORE = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page as it lies in its folder.

    Attributes:
        front_matter: The keys above the text; empty when there are none.
        body: Markdown without the front matter.
        body_line: Line of the file on which the body begins, from 1.
    """

    path: Path
    front_matter: Mapping[str, Any]
    body: str
    body_line: int


class RunbookShelf:
    """The folders that hold pages; of two pages for a kind the earlier folder's counts.

    Args:
        folders: The team's own first, ours last; one that does not exist holds no pages.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)

    def first_move(self, kind: str) -> str:
        """The first thing to do, one line; our own page's where the team's page does not say.

        Raises:
            NotFound: If there is no such kind, or no page of it says a first move.
            Misconfigured: If a page cannot be read.
        """
        for page in self._pages(kind):
            if isinstance(move := page.front_matter.get("first_move"), str) and move.strip():
                return " ".join(move.split())
        raise NotFound("runbook", kind, self.kinds(), where=self._where())

    def page(self, kind: str) -> str:
        """The page's Markdown, without its front matter.

        Raises:
            NotFound: If there is no such kind or it has no page.
            Misconfigured: If the page cannot be read.
        """
        for page in self._pages(kind):
            return page.body
        raise NotFound("runbook", kind, self.kinds(), where=self._where())

    def kinds(self) -> list[str]:
        """The kinds that have a page."""
        return [kind for kind in KINDS if any((folder / f"{kind}.md").is_file() for folder in self.folders)]

    def _pages(self, kind: str) -> Iterator[Page]:
        if kind not in KINDS:
            raise NotFound("runbook", kind, list(KINDS))
        for folder in self.folders:
            if (path := folder / f"{kind}.md").is_file():
                yield read_page(path)

    def _where(self) -> str:
        return "in " + " or ".join(str(folder) for folder in self.folders)


def read_page(path: Path) -> Page:
    """Read one page.

    Raises:
        Misconfigured: If the file cannot be read or its front matter is not YAML keys and values.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: cannot be read: {type(error).__name__}") from None
    lines = text.split("\n")
    if lines[0].rstrip() != _FENCE:
        return Page(path=path, front_matter={}, body=text, body_line=1)
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise Misconfigured(f"{path}:1: the front matter does not end; close it with a line of ---")
    try:
        front = yaml.safe_load("\n".join(lines[1:end])) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark is not None else 1
        raise Misconfigured(f"{path}:{line}: the front matter is not YAML") from None
    if not isinstance(front, dict):
        raise Misconfigured(f"{path}:1: the front matter must be `key: value` lines")
    return Page(
        path=path, front_matter=front, body="\n".join(lines[end + 1 :]).lstrip("\n"), body_line=_first(lines, end)
    )


def _first(lines: Sequence[str], end: int) -> int:
    return next((n + 1 for n in range(end + 1, len(lines)) if lines[n].strip()), end + 2)


def first_move_of(first_moves: Mapping[str, str] | RunbookShelf, kind: str) -> str:
    """The kind's first move. A missing or broken page must not keep an incident from opening."""
    with suppress(Misconfigured):
        found = first_moves.first_move(kind) if isinstance(first_moves, RunbookShelf) else first_moves.get(kind)
        if found:
            return found
    return f"Open the runbook: `watchkeeper runbooks show {kind}`"


def filled(text: str, labels: Mapping[str, str]) -> str:
    """A page or a line of it with its {label} placeholders replaced; a label that is not known stays."""
    for name, value in labels.items():
        # The value comes to stand inside a code span of one line.
        text = text.replace("{" + name + "}", " ".join(value.replace("`", "'").split()))
    return text


def labels_of(incident: Incident) -> dict[str, str]:
    """What a page's placeholders stand for when it is opened from an incident.

    Its subject, `incident`, `since` (an hour before it opened), and from the evidence `run`, and
    `route` and `suite` where the subject does not name them. Quoted for a shell where it must be,
    for the page's commands are copied into one, and a provider chooses the names of its models.
    """
    evidence = incident.evidence
    routes = [route for route in evidence.get("routes", ()) if isinstance(route, str)]
    suites = [s["suite"] for s in evidence.get("suites", ()) if s.get("verdict") == "regressed"]
    found = {
        "incident": incident.id,
        "since": format_time(incident.opened_at - _BEFORE),
        "run": evidence.get("run_id"),
        "route": routes[0] if routes else None,
        "suite": suites[0] if suites else None,
    }
    known = {name: value for name, value in found.items() if isinstance(value, str)} | dict(incident.subject)
    return {name: shlex.quote(value) for name, value in known.items()}


def runbook_url(kind: str, *, runbooks_url: str, base_url: str, incident_id: str | None = None) -> str:
    """Where a reader opens the page of a kind.

    Args:
        runbooks_url: Where the pages are published, e.g. a repository's web page; empty: base_url's own.
        base_url: How people reach this installation's pages.
        incident_id: The incident it is opened from, which our own page shows above the text.
    """
    if runbooks_url:
        return f"{runbooks_url.rstrip('/')}/{kind}.md"
    opened_from = f"?incident={incident_id}" if incident_id else ""
    return f"{base_url.rstrip('/')}/runbooks/{kind}{opened_from}"


def sections(body: str) -> dict[str, tuple[int, str]]:
    """Second-level heading -> its line in the body from 1, and the text under it. Fenced code is not read."""
    found: dict[str, tuple[int, str]] = {}
    name, start, kept, fenced = None, 0, list[str](), False
    for number, line in enumerate(body.split("\n"), 1):
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else re.fullmatch(r"## +(.+?)\s*", line)
        if heading:
            if name is not None:
                found.setdefault(name, (start, "\n".join(kept).strip()))
            name, start, kept = heading[1], number, []
        else:
            kept.append(line)
    if name is not None:
        found.setdefault(name, (start, "\n".join(kept).strip()))
    return found
