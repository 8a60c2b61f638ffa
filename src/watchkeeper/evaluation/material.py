"""What a judge is shown: texts of other people as data, which can neither end its place nor hide in it.

A text stands between two lines of marks with a code that it cannot know: the code is a hash of all the texts, so that
the same item is always rendered the same, and a text that held its own code would be a fixed point of the hash.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from watchkeeper.evaluation.rubric import PARTS, Part

LONGEST: Mapping[Part, int] = {
    "input": 20_000,
    "response": 60_000,
    "documents": 40_000,
    "reference": 20_000,
    "tool_results": 20_000,
}
"""Most characters of each part. A longer response is not judged at all; of the others the middle is left out."""

_HEAD = 2 / 3
"""How much of what is shown of a long text is its beginning; the rest is its end."""

# What no reader would see: controls, zero-width marks, changes of direction, tags, halves of surrogate pairs; joiners
# where they join nothing, for between Persian letters and in emoji they do.
_UNSEEN = re.compile(
    "((?<=[\x00-\x7f＜‹《〈≪\u200c\u200d])[\u200c\u200d]"
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f])\\1*"
)
# What servers of open models read as the end of a turn, wherever it stands; and what looks like our own marks.
_STRUCTURAL = re.compile(
    r"<(?=[|｜]|/?s>|(?:start|end)_of_turn>|/?(?:system|assistant|user)>)|\[(?=/?(?:INST|SYSTEM_PROMPT)\])|<(?=</?SYS>)"
    r"|[<＜‹《〈≪](?=[<＜‹《〈≪]{2})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One answer to be judged, with what belongs to it; None is what there was not.

    Attributes:
        id: Of the request or the case; the judge never sees it.
    """

    id: str
    response: str | None
    input: str | None = None
    documents: str | None = None
    reference: str | None = None
    tool_results: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """An item as the judge is shown it.

    Attributes:
        code: The random code of its marks.
        cut: Part -> characters left out of it.
        altered: Places where something invisible was made visible, or what looks like a mark was broken up.
    """

    text: str
    code: str
    cut: Mapping[Part, int]
    altered: int


def unjudgeable(item: Item, sees: tuple[Part, ...]) -> str | None:
    """Why an item cannot be judged at all, or None."""
    for part in sees:
        text = getattr(item, part)
        if text is None or (part == "response" and not text.strip()):
            return f"no {part.replace('_', ' ')}"
    return "too long" if len(item.response or "") > LONGEST["response"] else None


def material_of(item: Item, sees: tuple[Part, ...]) -> Material:
    """The parts a judge may see, each between its marks."""
    texts = {part: getattr(item, part) or "" for part in PARTS if part in sees}
    code = free_code(texts.values(), _codes(texts))
    shown, cut, altered = [], {}, 0
    for part, text in texts.items():
        head, tail, left_out = _ends(text, LONGEST[part])
        body, changes = _disarmed(head)
        altered += changes
        if left_out:
            cut[part] = left_out
            end, changes = _disarmed(tail)
            altered += changes
            body = f"{body}\n<<<{code} {left_out} characters left out>>>\n{end}"
        shown.append(f"<<<{code} {part}>>>\n{body}\n<<<{code} end of {part}>>>")
    return Material(text="\n".join(shown), code=code, cut=cut, altered=altered)


def free_code(texts: Iterable[str], codes: Iterable[str]) -> str:
    """The first of the codes that stands in none of the texts."""
    given = list(texts)
    return next(code for code in codes if not any(code in text for text in given))


def _codes(texts: Mapping[Part, str]) -> Iterator[str]:
    """Codes of 80 bits without end; one does, but for a fixed point of the hash."""
    everything = json.dumps(texts).encode()
    for turn in itertools.count():
        yield hashlib.blake2b(everything, digest_size=10, salt=turn.to_bytes(8, "big")).hexdigest()


def _ends(text: str, longest: int) -> tuple[str, str, int]:
    if len(text) <= longest:
        return text, "", 0
    head = int(longest * _HEAD)
    return text[:head], text[len(text) - (longest - head) :], len(text) - longest


def _disarmed(text: str) -> tuple[str, int]:
    text, unseen = _UNSEEN.subn(_named, text)
    text, structural = _STRUCTURAL.subn(lambda found: f"{found[0]} ", text)
    return text, unseen + structural


def _named(found: re.Match[str]) -> str:
    often = f" ×{len(found[0])}" if len(found[0]) > 1 else ""
    return f"⟦U+{ord(found[1]):04X}{often}⟧"
