"""The scale of a rubric: what a judge may answer, and the number in [0, 1] it means."""

import re
from dataclasses import dataclass
from typing import Any, Literal

_WHOLE = re.compile(r"(\d{1,3})-(\d{1,3})")
KNOWN = "pass_fail, 0-1, or whole numbers such as 1-5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One scale.

    Attributes:
        name: As the rubric writes it: "pass_fail", "0-1", "1-5".
        kind: A word, any number from 0 to 1, or a whole number from `low` to `high`.
    """

    name: str
    kind: Literal["pass_fail", "fraction", "whole"]
    low: int = 0
    high: int = 1

    @property
    def said(self) -> str:
        """What the judge is told to answer."""
        match self.kind:
            case "pass_fail":
                return 'either "pass" or "fail"'
            case "fraction":
                return "a number from 0 (worst) to 1 (best)"
            case "whole":
                return f"a whole number from {self.low} (worst) to {self.high} (best)"

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the score."""
        match self.kind:
            case "pass_fail":
                return {"type": "string", "enum": ["pass", "fail"]}
            case "fraction":
                return {"type": "number", "minimum": 0, "maximum": 1}
            case "whole":
                return {"type": "integer", "enum": list(range(self.low, self.high + 1))}

    def value(self, given: Any) -> float | None:
        """The number in [0, 1] that an answer means; None when it is not on the scale."""
        if self.kind == "pass_fail":
            return {"pass": 1.0, "fail": 0.0}.get(given.strip().lower()) if isinstance(given, str) else None
        if isinstance(given, bool) or not isinstance(given, int | float) or not self.low <= given <= self.high:
            return None
        if self.kind == "whole" and given != int(given):
            return None
        return (given - self.low) / (self.high - self.low)

    def label(self, value: float) -> str:
        """A number in [0, 1] in the words of the scale: "pass", "4", "3.5" between two, "0.62"."""
        if self.kind == "pass_fail":
            return "pass" if value >= 0.5 else "fail"
        return f"{round(self.low + value * (self.high - self.low), 6):g}"


def scale_named(name: str) -> Scale:
    """The scale a rubric asks for.

    Raises:
        ValueError: If there is no such scale.
    """
    if name == "pass_fail":
        return Scale(name=name, kind="pass_fail")
    if name == "0-1":
        return Scale(name=name, kind="fraction")
    if (found := _WHOLE.fullmatch(name)) and int(found[1]) < int(found[2]):
        return Scale(name=name, kind="whole", low=int(found[1]), high=int(found[2]))
    raise ValueError(f"there is no scale {name[:40]!r}; write {KNOWN}")
