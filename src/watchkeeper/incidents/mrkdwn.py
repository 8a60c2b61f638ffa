"""Text of models and users inside Slack messages: shown, never obeyed, never too long.

Sources: Slack's "Formatting text for app surfaces" (what must be escaped, what starts formatting).
"""

import re
import unicodedata

# Marks that turn text around, and those that say where a line ends besides the newline.
_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
_INVISIBLE = {*range(0xE0000, 0xE0080), 0xFEFF}  # tag characters can carry a hidden text
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# A character that looks the same and starts no formatting; used only where formatting could start.
_LOOKALIKES = {"*": "∗", "_": "ˍ", "~": "∼", "`": "ˋ"}
_FORMATTING = re.compile(r"(?<![^\W_])[*_~]|[*_~](?![^\W_])|`")
_FENCE = re.compile(r"`{3,}")
_DROPPED = {"Cc", "Cs"}


def clean(text: str) -> str:
    """Without characters that hide, reorder or break text: controls, bidirectional marks, halves of pairs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return "".join(
        c
        for c in text
        if c in "\n\t" or (unicodedata.category(c) not in _DROPPED and ord(c) not in _BIDI and ord(c) not in _INVISIBLE)
    )


def one_line(text: str) -> str:
    """Cleaned, with every run of white space as one space."""
    return " ".join(clean(text).split())


def shown(text: str, limit: int) -> str:
    """Text for a mrkdwn object: no mention, link or formatting of its own, at most `limit` characters."""
    return _fit(_FORMATTING.sub(lambda m: _LOOKALIKES[m.group()], clean(text)), limit)


def plain(text: str, limit: int) -> str:
    """Text for a plain_text object or a code span of ours: formatting is not read there, entities are."""
    return _fit(clean(text), limit)


def code(text: str, limit: int) -> str:
    """A code block that the text cannot leave, at most `limit` characters with its fences."""
    inner = _FENCE.sub(lambda m: "ˋ" * len(m.group()), clean(text)).strip("\n")
    return f"```\n{_fit(inner or '(empty)', limit - 8)}\n```"


def length(text: str) -> int:
    """Characters as Slack's strictest reader counts them: UTF-16 units."""
    return len(text) + sum(1 for c in text if ord(c) > 0xFFFF)


def unescaped(text: str) -> str:
    """What a reader sees of escaped text."""
    for character, entity in reversed(_ENTITIES.items()):
        text = text.replace(entity, character)
    return text


def _fit(text: str, limit: int) -> str:
    """Escaped, and cut at a whole character with an ellipsis when it would be longer than `limit`."""
    pieces = [_ENTITIES.get(c, c) for c in text[: limit + 1]]
    if length("".join(pieces)) <= limit and len(text) <= limit:
        return "".join(pieces)
    kept: list[str] = []
    room = limit - 1
    for piece in pieces:
        room -= length(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept).rstrip() + "…"
