"""Addresses, numbers and keys inside a text, replaced by markers.

Built-in patterns take time linear in the text, whatever it says: each starts only where its own characters
begin, and what it may repeat is possessive or bounded.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

# A pattern that begins with a character, and looks behind it then, is searched for several times as fast.
_CARDS = re.compile(r"[2-6](?<![\d.,][2-6])(?<!\d[ -][2-6])\d{3}(?:(?:[ -]?\d){9,15}|(?:\.\d{4}){3})(?!\d)")
_HASHES = re.compile(r"\b[hu]_[0-9a-f]{32}\b")
_PHONES = re.compile(
    r"[+(0-9](?<![\w+.][+(0-9])(?:"
    r"(?:(?<=\+)|(?<=0)0)[1-9](?:[ ().\-/]{0,3}\d){7,14}"
    r"|(?:(?<=\()|(?:(?<=1)|(?<=\+)1)[ .-]\()[2-9]\d\d\) ?[2-9]\d\d[ .-]?\d{4}"
    r"|(?:(?<=[2-9])|(?<=1)[.-][2-9])\d\d([ .-])[2-9]\d\d\1\d{4}"
    r"|(?:(?<=0)|(?<=\()0)[1-9]\d{1,4}\)?(?:[ ]?[/-][ ]?|[ ])\d{2,4}(?:[ -]?\d{2,4}){1,3}"
    r")(?![\w])(?![.-]\d)"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A marker and where it is put.

    Most texts hold none of it, and the C library sees that sooner than the pattern does: every text that can match
    holds `run` letters, digits, _ or - in a row, the character `sign`, and one of `hint`; or, for a `number`, nine
    digits with little between them.
    """

    marker: str
    pattern: re.Pattern[str]
    hint: tuple[str, ...] = ("",)
    sign: str = ""
    run: int = 0
    number: bool = False
    confirmed: Callable[[str], bool] | None = None


def _luhn(text: str) -> bool:
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _phone(text: str) -> bool:
    return 9 <= sum(c.isdigit() for c in text) <= 15


_KEY = "[key]"
BUILTIN: tuple[_Rule, ...] = (
    _Rule(
        _KEY,
        re.compile(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----END))*+(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
        ),
        ("PRIVATE KEY-----",),
        "-",
    ),
    _Rule(_KEY, re.compile(r"(?<![\w.-])eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?"), ("eyJ",), "J"),
    _Rule(_KEY, re.compile(r"[spr]k[-_](?<![\w-][spr]k[-_])[\w-]{16,}+"), ("k-", "k_"), run=19),
    _Rule(
        _KEY, re.compile(r"(?<![\w-])xox[a-z]-[\w-]{10,}+|(?<![\w-])xapp-[\w-]{10,}+"), ("xox", "xapp-"), "-", run=15
    ),
    _Rule(_KEY, re.compile(r"(?<![\w-])A[KS]IA[0-9A-Z]{16}(?![0-9A-Za-z])"), ("IA",), "A", run=19),
    _Rule(
        _KEY,
        re.compile(r"(?<![\w-])(?:gh[pousr]_|github_pat_|glpat-|hf_|npm_|pypi-)[\w-]{16,}+"),
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "hf_", "npm_", "pypi-"),
        run=19,
    ),
    _Rule(_KEY, re.compile(r"(?<![\w-])AIza[\w-]{35}(?![\w-])"), ("AIza",), "z", run=19),
    _Rule(_KEY, re.compile(r"(?<=[Bb]earer )[\w.~+/=-]{16,}+"), ("earer ",)),
    _Rule(_KEY, re.compile(r"(?<=BEARER )[\w.~+/=-]{16,}+"), ("EARER ",), "R"),
    _Rule(
        "[email]",
        re.compile(r"(?<![\w.%+-])[\w.%+-]++@(?:[\w-]{1,63}\.){1,10}[^\W\d_][\w-]{1,62}"),
        ("@",),
    ),
    _Rule("[card]", _CARDS, number=True, confirmed=_luhn),
    _Rule("[phone]", _PHONES, number=True, confirmed=_phone),
)
_SHORTEST = 6
"""Characters of the shortest text a built-in pattern matches, a@b.de."""
_RUNS = (19, 15)
_AS_TOKENS = bytes(119 if byte >= 128 or chr(byte).isalnum() or byte in b"_-" else 32 for byte in range(256))
"""What a key is made of as w, the rest as a space; what is not ASCII may be a letter."""
_BETWEEN = b" ().-/"
"""What may stand between two digits of a card or a phone."""
_AS_ZEROS = bytes(48 if 48 <= byte <= 57 or byte >= 128 else 120 for byte in range(256))
"""Digits as 0, other ASCII as x; what is not ASCII may hold a digit of another script."""
_DIGITS = re.compile(r"[0-9][0-9 ().\-/]{6}")
_BY_RUN = {run: tuple(rule for rule in BUILTIN if rule.run <= run) for run in (*_RUNS, 0)}
_REMEMBERED, _LONGEST_REMEMBERED = 2_048, 16_384
"""Texts, and characters of one: a conversation sends its system prompt and its past again with every request."""
_SHORTEST_CARD = 10**12
"""A number as a number: below this it is none of a card."""


class Redactor:
    """Masks what must not be stored; masking a masked text changes nothing.

    Args:
        patterns: Your own, NAME -> regular expression; what it matches becomes "[NAME]". They come first.
        builtin: Also e-mail addresses, phone and card numbers, API keys.

    Raises:
        ValueError: If a pattern is no regular expression.
    """

    def __init__(self, patterns: Mapping[str, str] | None = None, *, builtin: bool = True) -> None:
        own = []
        for name, pattern in (patterns or {}).items():
            try:
                own.append(_Rule(f"[{name}]", re.compile(pattern)))
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{name}: not a regular expression: {error}") from None
        self._given, self._own, self._builtin = dict(patterns or {}), own, builtin
        self._remembered = lru_cache(_REMEMBERED)(self._masked)

    def __reduce__(self) -> Any:
        """To another process go the patterns, not what was remembered."""
        return partial(Redactor, builtin=self._builtin), (self._given,)

    def text(self, text: str) -> str:
        """The text with markers in the place of what was masked."""
        return self._remembered(text) if len(text) <= _LONGEST_REMEMBERED else self._masked(text)

    def _masked(self, text: str) -> str:
        for rule in self._own:
            text = rule.pattern.sub(rule.marker, text)
        if not self._builtin or len(text) < _SHORTEST:
            return text
        data = text.encode("utf-8", "surrogatepass")
        numbers = _holds_nine_digits(data) and (text.isascii() or _DIGITS.search(text) is not None)
        for rule in _BY_RUN[_run(data)]:
            if rule.number:
                if numbers:
                    text = rule.pattern.sub(_confirmed(rule), text)
            elif rule.sign in text:
                for hint in rule.hint:
                    if hint in text:
                        text = rule.pattern.sub(rule.marker, text)
                        break
        return text

    def value(self, value: Any, keep: frozenset[str] = frozenset()) -> Any:
        """A JSON value with every text in it masked, names of fields too; fields named in `keep` stay as they are."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(k): v if k in keep else self.value(v, keep) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each, keep) for each in value]
        if isinstance(value, int) and value >= _SHORTEST_CARD:
            masked = self.text(digits := str(value))
            return value if masked == digits else masked
        return value


def _holds_nine_digits(data: bytes) -> bool:
    return b"000000000" in data.translate(_AS_ZEROS, _BETWEEN)


def _run(data: bytes) -> int:
    """The longest of `_RUNS` that stands in a row; 0 for none."""
    tokens = data.translate(_AS_TOKENS)
    if b"w" * _RUNS[1] not in tokens:
        return 0
    return _RUNS[0] if b"w" * _RUNS[0] in tokens else _RUNS[1]


def _confirmed(rule: _Rule) -> Callable[[re.Match[str]], str]:
    def mask(found: re.Match[str]) -> str:
        sure = rule.confirmed is None or rule.confirmed(found[0])
        return rule.marker if sure and not _is_of_a_hash(found) else found[0]

    return mask


def _is_of_a_hash(found: re.Match[str]) -> bool:
    """Whether the digits are those of a hash that stands where a text or a user stood."""
    first = max(0, found.start() - 34)
    around = found.string[first : found.end() + 34]
    return any(h.start() <= found.start() - first and found.end() - first <= h.end() for h in _HASHES.finditer(around))


_HOSTILE = ("a", "1", " ", "-", ".", "@", "a.", "a ", "1 ", "a@", "\n", '"', "aA1_", "é")
_TRIAL = (
    "import json,re,signal,sys\n"
    "asked=json.loads(sys.stdin.read())\n"
    "if hasattr(signal,'setitimer'): signal.setitimer(signal.ITIMER_PROF,asked['seconds'])\n"
    "for name,pattern in asked['patterns'].items():\n"
    "    print(name,flush=True)\n"
    "    found=re.compile(pattern)\n"
    "    own=''.join(c for c in pattern if c.isalnum())[:40]\n"
    f"    for seed in (*{_HOSTILE!r},own or 'a',*dict.fromkeys(own)):\n"
    "        for size in (30,1000,20000):\n"
    "            text=(seed*size)[:size]\n"
    "            found.sub('',text+'!'),found.sub('','!'+text+'\\x00')\n"
)
_WAIT = 15.0
"""Times longer than its processor time a trial may take: the machine may be busy."""


def slow_pattern(patterns: Mapping[str, str], *, seconds: float = 2.0) -> str | None:
    """The first pattern that takes too long over long or hostile texts; None when all are fast enough.

    They are tried in a process of their own, for a regular expression under way cannot be stopped.

    Args:
        seconds: Of processor time, for all of them together.
    """
    if not patterns:
        return None
    command = [sys.executable, "-I", "-c", _TRIAL]
    asked = json.dumps({"patterns": dict(patterns), "seconds": seconds})
    try:
        done = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=seconds * _WAIT)
    except subprocess.TimeoutExpired as late:
        tried, ended = late.stdout or b"", False
    else:
        tried, ended = done.stdout, done.returncode == 0
    if ended:
        return None
    return (tried.decode().split() or list(patterns))[-1]
