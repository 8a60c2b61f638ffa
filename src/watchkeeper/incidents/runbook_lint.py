"""Whether the runbooks hold: every kind a page, every page its headings, every command one that exists."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.foundation.finding import Severity
from watchkeeper.incidents.kinds import KINDS
from watchkeeper.incidents.runbook import FIRST_MOVE_MAX, HEADINGS, Page, RunbookShelf, read_page, sections

Parses = Callable[[list[str]], str | None]
"""Given the words after `watchkeeper`: what is wrong with them, or None when the command line takes them."""

_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)[^)]*\)")
_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
_ENDS_A_COMMAND = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend.

    Attributes:
        where: The file and, where known, the line, e.g. "runbooks/timeouts.md:12".
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def lint(shelf: RunbookShelf, *, parses: Parses) -> list[Problem]:
    """Every problem of every page, in the order of folders, files and lines.

    Args:
        parses: Says what is wrong with a command line; see Parses.
    """
    problems = []
    have = set(shelf.kinds())
    missing_from = _shown(shelf.folders[-1]) if shelf.folders else "runbooks"
    problems += [
        Problem(where=f"{missing_from}/{kind}.md", what=f"missing: the incident kind {kind} has no page")
        for kind in KINDS
        if kind not in have
    ]
    for number, folder in enumerate(shelf.folders):
        if folder in shelf.folders[:number]:
            continue
        for path in sorted(folder.glob("*.md")):
            problems += _index(path) if path.name == "README.md" else _page(path, parses)
    return problems


def _page(path: Path, parses: Parses) -> Iterator[Problem]:
    where = f"{_shown(path.parent)}/{path.name}"
    if path.stem not in KINDS:
        near = get_close_matches(path.stem, KINDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield Problem(where=where, what=f"there is no incident kind {path.stem}{hint}")
    try:
        page = read_page(path)
    except Misconfigured as error:
        place, _, what = str(error).removeprefix(str(path)).partition(": ")
        yield Problem(where=where + place, what=what)
        return
    yield from _front_matter(page, where)
    yield from _headings(page, where)
    for line, command in commands(page.body):
        if problem := _wrong(command, parses):
            yield Problem(where=f"{where}:{page.body_line + line - 1}", what=f"`{command}`: {problem}")
    first_move = page.front_matter.get("first_move")
    for command in _inline_commands(first_move if isinstance(first_move, str) else ""):
        if problem := _wrong(command, parses):
            yield Problem(where=where, what=f"first_move: `{command}`: {problem}")
    yield from _links(page.body, path.parent, where, page.body_line)


def _index(path: Path) -> Iterator[Problem]:
    page = read_page(path)
    yield from _links(page.body, path.parent, f"{_shown(path.parent)}/{path.name}", page.body_line)


def _front_matter(page: Page, where: str) -> Iterator[Problem]:
    front = page.front_matter
    if front.get("kind") != page.path.stem:
        yield Problem(where=where, what=f"front matter: kind must be {page.path.stem}, the file's name")
    if front.get("severity") not in get_args(Severity):
        yield Problem(where=where, what=f"front matter: severity must be one of {', '.join(get_args(Severity))}")
    move = front.get("first_move")
    if not isinstance(move, str) or not move.strip():
        yield Problem(where=where, what="front matter: first_move is missing; one line, what to do first")
    elif "\n" in move.strip() or len(move.strip()) > FIRST_MOVE_MAX:
        yield Problem(
            where=where, what=f"front matter: first_move must be one line of at most {FIRST_MOVE_MAX} characters"
        )
    if type(front.get("last_reviewed")) is not date:
        yield Problem(where=where, what="front matter: last_reviewed must be a date, e.g. 2026-11-24")


def _headings(page: Page, where: str) -> Iterator[Problem]:
    found = sections(page.body)
    for heading in HEADINGS:
        if heading not in found:
            yield Problem(where=where, what=f"the heading `## {heading}` is missing")
        elif not found[heading][1]:
            yield Problem(where=f"{where}:{page.body_line + found[heading][0] - 1}", what=f"`## {heading}` has no text")
    for heading, (line, _) in found.items():
        if heading not in HEADINGS:
            near = get_close_matches(heading, HEADINGS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; the headings are {', '.join(HEADINGS)}"
            yield Problem(where=f"{where}:{page.body_line + line - 1}", what=f"unknown heading `## {heading}`{hint}")


def commands(body: str) -> list[tuple[int, str]]:
    """Every `watchkeeper …` command of a page: its line from 1 and the command, from code spans and fences."""
    found: list[tuple[int, str]] = []
    fenced, continued, start = False, "", 0
    for number, line in enumerate(body.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            start = start if continued else number
            whole = continued + line.strip()
            continued = whole[:-1] if whole.endswith("\\") else ""
            command = whole.removeprefix("$ ")
            if not continued and _is_command(command):
                found.append((start, command))
        else:
            found += [(number, command) for command in _inline_commands(line)]
    return found


def _inline_commands(text: str) -> list[str]:
    return [command for command in _INLINE.findall(text) if _is_command(command)]


def _is_command(text: str) -> bool:
    return text.startswith("watchkeeper ")


def _wrong(command: str, parses: Parses) -> str | None:
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError as error:
        return f"cannot be read by a shell: {error}"
    end = next((i for i, word in enumerate(words) if word in _ENDS_A_COMMAND), len(words))
    given = words[1:end]
    problem = parses(given)
    if problem is not None and any(_PLACEHOLDER.search(word) for word in given):
        # A placeholder may stand where a number belongs.
        return parses([_PLACEHOLDER.sub("1", word) for word in given])
    return problem


def _links(body: str, folder: Path, where: str, first_line: int) -> Iterator[Problem]:
    for number, line in enumerate(body.split("\n"), first_line):
        for target in _LINK.findall(line):
            path = target.partition("#")[0]
            if path and "://" not in target and not target.startswith("mailto:") and not (folder / path).exists():
                yield Problem(where=f"{where}:{number}", what=f"the link {target} leads nowhere")


def _shown(folder: Path) -> str:
    """The folder as people know it: relative to where they stand, else its last name."""
    try:
        return str(folder.resolve().relative_to(Path.cwd())) or "."
    except ValueError:
        return folder.name
