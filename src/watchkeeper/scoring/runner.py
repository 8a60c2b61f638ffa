"""Scores what waits, batch by batch: each batch is kept before the next is paid for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from watchkeeper.foundation.money import total
from watchkeeper.observability.request import Request
from watchkeeper.scoring.sampling import Key
from watchkeeper.scoring.scored import Judged, Waiting
from watchkeeper.scoring.scorer import LiveScore, ScoreMany

BATCH = 500
"""Requests between two writes; a judge keeps its own votes more often."""

GONE = "the record is no longer stored"

Load = Callable[[Sequence[Key]], Mapping[Key, Request]]
Keep = Callable[[Sequence[Judged]], None]


@dataclass(slots=True)
class Tally:
    """What was scored so far; `costs` are those of scores that were paid for now."""

    scored: int = 0
    missing: int = 0
    cached: int = 0
    costs: list[int | None] = field(default_factory=list)

    def add(self, given: Sequence[Judged]) -> None:
        self.scored += len(given)
        self.missing += sum(1 for each in given if each.value is None)
        self.cached += sum(1 for each in given if each.cached)
        self.costs += [each.cost_nano_usd for each in given if not each.cached]

    @property
    def cost_nano_usd(self) -> int | None:
        """Nano-dollars; None when nothing is priced."""
        return total(self.costs)


def score_all(
    waiting: Sequence[Waiting],
    scorers: Mapping[str, Sequence[ScoreMany]],
    *,
    load: Load,
    keep: Keep,
    most_nano_usd: int | None = None,
    cost_by_route: Mapping[str, float] | None = None,
) -> Tally:
    """Score all of it, or as much as the money is enough for.

    What waits is in the order of its random numbers: where it is cut short, those that were scored are still a
    random part.

    Args:
        keep: Writes a batch; when it raises, nothing more is scored.
        most_nano_usd: No batch is begun that is expected to cost more than what is left of it.
        cost_by_route: What one request is expected to cost.

    Raises:
        Transient: If a scorer cannot work now; what was scored before is kept.
    """
    tally = Tally()
    rest = list(waiting)
    while rest:
        batch = rest[: _affordable(rest, tally, most_nano_usd, cost_by_route or {})]
        if not batch:
            break
        rest = rest[len(batch) :]
        found = load([(each.trace_id, each.span_id) for each in batch])
        for scorer, mine in _by_scorer(batch, scorers):
            there = [each for each in mine if (each.trace_id, each.span_id) in found]
            scores = scorer.score([found[each.trace_id, each.span_id] for each in there]) if there else []
            given = [_judged(each, scorer, said) for each, said in zip(there, scores, strict=True)]
            gone = LiveScore(value=None, missing=GONE)
            given += [_judged(each, scorer, gone) for each in mine if (each.trace_id, each.span_id) not in found]
            keep(given)
            tally.add(given)
    return tally


def _affordable(
    rest: Sequence[Waiting], tally: Tally, most_nano_usd: int | None, cost_by_route: Mapping[str, float]
) -> int:
    if most_nano_usd is None:
        return BATCH
    left = float(most_nano_usd - (tally.cost_nano_usd or 0))
    for count, each in enumerate(rest[:BATCH]):
        left -= cost_by_route.get(each.route, 0.0)
        if left < 0:
            return count
    return BATCH


def _by_scorer(
    batch: Sequence[Waiting], scorers: Mapping[str, Sequence[ScoreMany]]
) -> list[tuple[ScoreMany, list[Waiting]]]:
    """Every scorer with what it has to score; routes that share one are scored together."""
    found: dict[tuple[str, str], tuple[ScoreMany, list[Waiting]]] = {}
    for each in batch:
        for scorer in scorers[each.route]:
            if scorer.name in each.scorers:
                found.setdefault((scorer.name, scorer.version), (scorer, []))[1].append(each)
    return list(found.values())


def _judged(waiting: Waiting, scorer: ScoreMany, said: LiveScore) -> Judged:
    return Judged(
        trace_id=waiting.trace_id,
        span_id=waiting.span_id,
        scorer=scorer.name,
        scorer_version=scorer.version,
        value=said.value,
        label=said.label,
        explanation=said.explanation,
        missing=None if said.value is not None else said.missing or "no score",
        inclusion=waiting.inclusion,
        stratum=waiting.stratum,
        judge_model=said.judge_model,
        cost_nano_usd=said.cost_nano_usd,
        cached=said.cached,
    )
