"""What scores live answers: anything that turns requests into scores, a judge or a deterministic scorer of a suite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from watchkeeper.observability.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScore:
    """What a scorer says of one request.

    Attributes:
        value: In [0, 1]; None is missing, then `missing` says why. "failed: …" is tried again later.
        label: The value in the words of the scorer's scale.
        judge_model: That answered; None of a deterministic scorer.
        cost_nano_usd: None where nothing is priced.
        cached: It was known already, and nothing was paid now.
    """

    value: float | None
    label: str | None = None
    explanation: str | None = None
    missing: str | None = None
    judge_model: str | None = None
    cost_nano_usd: int | None = None
    cached: bool = False


class ScoreMany(Protocol):
    """Scores many requests at once."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def version(self) -> str:
        """Equal for what scores alike: scores of two versions are never put together."""
        ...

    @property
    def paid(self) -> bool:
        """Whether a score costs money."""
        ...

    def score(self, requests: Sequence[Request]) -> Sequence[LiveScore]:
        """A score of every request, in their order.

        Raises:
            Transient: If nothing can be scored at the moment.
        """
        ...
