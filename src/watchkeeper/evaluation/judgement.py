"""What a judge said: one vote, and the judgement that one or more votes make. Missing is never a score."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from watchkeeper.evaluation.rubric import Part
from watchkeeper.evaluation.scale import Scale
from watchkeeper.foundation.money import total


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one answer of a judge means.

    Attributes:
        value: In [0, 1]; None is missing, then `reason` says why: "failed: timeout", "refused", "truncated",
            "unparsable", "out of scale", "too long".
        explanation: The judge's own words, which came before its score.
    """

    value: float | None
    explanation: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One vote on one item, after its retries.

    Attributes:
        input_hash: Of the messages the judge was sent.
        number: From 0; the judge is asked anew for each.
        cost_nano_usd: Of all its calls that are priced; None when none is.
        unpriced: Its answered calls without a cost.
        tries: Calls made for it; 0 of one that was known.
    """

    input_hash: str
    number: int
    reading: Reading
    model_served: str | None = None
    cost_nano_usd: int | None = None
    unpriced: int = 0
    tries: int = 0
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The score of one item, or why there is none.

    Attributes:
        item_id: As the item was given.
        version: Of the rubric.
        input_hash: Of what the judge was sent; items with the same share their votes, and what those cost.
        value: In [0, 1], or None; then `reason` says why.
        label: The value in the words of the scale: "pass", "4".
        spread: Largest less smallest vote; None unless there were at least two.
        votes: Every vote's value, None where it is missing.
        cost_nano_usd: What its votes cost when they were cast; None when nothing is priced.
        calls: Calls made for it now; 0 when every vote was known.
        cut: Part -> characters the judge was not shown.
        altered: Places where a text was disarmed before it was shown.
    """

    item_id: str
    version: str
    input_hash: str | None = None
    value: float | None
    label: str | None = None
    explanation: str | None = None
    reason: str | None = None
    spread: float | None = None
    votes: tuple[float | None, ...] = ()
    cost_nano_usd: int | None = None
    unpriced: int = 0
    calls: int = 0
    model_served: str | None = None
    cut: Mapping[Part, int] = field(default_factory=dict)
    altered: int = 0


def judgement_of(item_id: str, version: str, scale: Scale, votes: Sequence[Vote]) -> Judgement:
    """What votes on one item come to: the majority of pass and fail, else the median.

    More than half of the votes must be there. As many for pass as for fail is missing: "tied".
    """
    values = tuple(vote.reading.value for vote in votes)
    known = [value for value in values if value is not None]
    value, reason = _decided(scale, votes, known)
    nearest = None if value is None else _nearest(votes, value)
    return Judgement(
        item_id=item_id,
        version=version,
        value=value,
        label=None if value is None else scale.label(value),
        explanation=nearest.reading.explanation if nearest else None,
        reason=reason,
        spread=max(known) - min(known) if len(known) > 1 else None,
        votes=values,
        cost_nano_usd=total(vote.cost_nano_usd for vote in votes),
        unpriced=sum(vote.unpriced for vote in votes),
        calls=sum(vote.tries for vote in votes),
        model_served=(nearest or votes[0]).model_served,
    )


def _decided(scale: Scale, votes: Sequence[Vote], known: Sequence[float]) -> tuple[float | None, str | None]:
    if 2 * len(known) <= len(votes):
        reasons = Counter(vote.reading.reason or "unparsable" for vote in votes if vote.reading.value is None)
        return None, reasons.most_common(1)[0][0]
    middle = median(known)
    if scale.kind == "pass_fail" and middle == 0.5:
        return None, "tied"
    return middle, None


def _nearest(votes: Sequence[Vote], value: float) -> Vote:
    """The vote whose words stand for the judgement: the first of those closest to it."""
    return min(
        (vote for vote in votes if vote.reading.value is not None), key=lambda v: abs((v.reading.value or 0.0) - value)
    )
