"""A Slack message as text for a terminal: the same words, at most 100 columns."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from watchkeeper.incidents.message import Message
from watchkeeper.incidents.mrkdwn import unescaped

_COLUMNS = 100
_INNER = _COLUMNS - 4
_CELL = (_INNER - 3) // 2
_CELL_LINES = 8
_BOLD = re.compile(r"\*([^*\n]+)\*")


def render_plain(message: Message) -> str:
    """What Slack would show, in a frame; two columns where the message has two."""
    parts = [list(_block(block)) for block in message.blocks] or [_wrapped(message.text, _INNER)]
    lines = [line for part in parts if part for line in [*part, ""]][:-1]
    rule = "─" * (_COLUMNS - 2)
    return "\n".join([f"┌{rule}┐", *(f"│ {_padded(line, _INNER)} │" for line in lines), f"└{rule}┘"])


def _block(block: dict[str, Any]) -> Iterable[str]:
    match block:
        case {"type": "header", "text": {"text": text}}:
            yield from _wrapped(text, _INNER)
        case {"type": "section", "fields": fields}:
            yield from _side_by_side(fields)
        case {"type": "section", "text": {"text": text}}:
            yield from _wrapped(text, _INNER)
        case {"type": "context", "elements": elements}:
            yield from _wrapped(" ".join(e["text"] for e in elements), _INNER)
        case {"type": "actions", "elements": elements}:
            for element in elements:
                # An address is not wrapped: a terminal makes it clickable only in one piece.
                label = f"[{unescaped(element['text']['text'])}]"
                yield f"{label:<12} {element['url']}"


def _side_by_side(fields: list[dict[str, Any]]) -> Iterable[str]:
    cells = [_cell(field["text"]) for field in fields]
    for left, right in zip(cells[::2], [*cells[1::2], []], strict=False):
        for row in range(max(len(left), len(right))):
            a = left[row] if row < len(left) else ""
            b = right[row] if row < len(right) else ""
            yield f"{_padded(a, _CELL)} │ {b}" if b or right else a


def _cell(text: str) -> list[str]:
    lines = _wrapped(text, _CELL)
    return lines if len(lines) <= _CELL_LINES else [*lines[: _CELL_LINES - 1], "…"]


def _wrapped(text: str, columns: int) -> list[str]:
    lines: list[str] = []
    for number, part in enumerate(text.split("```")):
        is_code = number % 2 == 1
        shown = unescaped(part.strip("\n") if is_code else _BOLD.sub(r"\1", part)).expandtabs(4)
        if shown:
            lines += [piece for line in shown.rstrip("\n").split("\n") for piece in _pieces(line, columns)]
    return lines


def _pieces(line: str, columns: int) -> list[str]:
    """One line as lines of at most `columns`, broken at spaces where there are any."""
    indent = line[: len(line) - len(line.lstrip(" "))][: columns // 2]
    hanging = indent + ("  " if line.lstrip(" ").startswith("• ") else "")
    pieces, piece = [], indent
    for word in line.split():
        joined = piece + word if not piece.strip() else f"{piece} {word}"
        if width(joined) > columns and piece.strip():
            pieces.append(piece)
            joined = hanging + word
        while width(joined) > columns:
            cut = _cut(joined, columns)
            pieces.append(joined[:cut])
            joined = hanging + joined[cut:]
        piece = joined
    return [*pieces, piece]


def _cut(text: str, columns: int) -> int:
    """How many characters fit; at least one beyond the indent, so that cutting ends."""
    used = 0
    for position, character in enumerate(text):
        used += width(character)
        if used > columns:
            return position
    return len(text)


def _padded(line: str, columns: int) -> str:
    return line + " " * max(0, columns - width(line))


def width(text: str) -> int:
    """Columns a terminal gives to a text."""
    return sum(
        0
        if unicodedata.combining(c) or unicodedata.category(c) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )
