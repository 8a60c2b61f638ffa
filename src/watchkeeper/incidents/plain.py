"""A Slack message as text for a terminal: the same words, at most 100 columns."""

import re
import textwrap
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
    text = unescaped(_BOLD.sub(r"\1", text.replace("```\n", "").replace("\n```", "")))
    lines: list[str] = []
    for line in text.expandtabs(4).split("\n"):
        lines += _pieces(line, columns)
    return lines


def _pieces(line: str, columns: int) -> list[str]:
    """Wrapped at spaces while every character is one column wide, else cut by width."""
    if width(line) == len(line):
        hanging = "  " if line.startswith("• ") else ""
        return textwrap.wrap(line, columns, subsequent_indent=hanging, drop_whitespace=True) or [""]
    pieces, piece, used = [], "", 0
    for character in line:
        wide = width(character)
        if used + wide > columns:
            pieces.append(piece)
            piece, used = "", 0
        piece, used = piece + character, used + wide
    return [*pieces, piece]


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
