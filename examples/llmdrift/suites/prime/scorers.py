"""The word a model settled on: a standalone yes wins over a standalone no, as the study read them."""

import re
from typing import Any

# Commas, full stops and square brackets may touch the word; quotes, asterisks and letters may not.
_WORDS = {word: re.compile(rf"(?<![^\s,.\[]){word}(?![^\s,.\]])", re.IGNORECASE) for word in ("yes", "no")}


def prime_answer(response: str, case: dict[str, Any]) -> bool:
    """Whether the answer's word equals the case's reference; an answer with neither word is wrong."""
    found = next((word for word, pattern in _WORDS.items() if pattern.search(response)), None)
    return found == case["reference"]
