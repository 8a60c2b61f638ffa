"""When answers have got worse, what is named, and when nothing is said."""

from datetime import UTC, datetime, timedelta

from tests.pure.scoring.test_estimates import scored

from watchkeeper.observability.request import hour_of
from watchkeeper.scoring.hours import Group, SampledHour
from watchkeeper.scoring.quality import Comparison, compare, finding, onset
from watchkeeper.scoring.scored import ScoredSample
from watchkeeper.scoring.signals import Appearance

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
ROUTE = "support.answer"


def week(before: float, after: float, *, since: datetime = NOW - timedelta(hours=20)) -> list[ScoredSample]:
    """Eight days of six scores an hour; good with one share until a time, with another from then on."""
    found = []
    for n in range(8 * 24 * 6):
        at = NOW - timedelta(hours=n // 6, minutes=3 * (n % 6))
        share = after if at >= since else before
        good = n * 61 % 100 < 100 * share  # spread evenly, and no luck in it
        found.append(scored(trace_id=f"{n:032x}", started_at=at, value=float(good), inclusion=0.02))
    return found


def hours() -> list[SampledHour]:
    return [
        SampledHour(
            hour=hour, route=ROUTE, version=1, seen=300, eligible=300, unsettled=0, rates=(0.02,) * 4,
            population=[Group(segment=None, prompt=None, model=None, stratum="ordinary", requests=300)],
        )
        for hour in range(hour_of(NOW) - 8 * 24, hour_of(NOW) + 1)
    ]  # fmt: skip


def compared(
    scores: list[ScoredSample], appearances: dict[Appearance, datetime] | None = None, *, loss: float = 0.05
) -> Comparison:
    [found] = compare(scores, hours(), appearances or {}, now=NOW, loss=loss)
    return found


def test_a_fall_beyond_the_accepted_loss_is_found() -> None:
    found = compared(week(0.95, 0.70))
    assert found.dropped
    told = finding(found, 0.05)
    assert told is not None
    assert (told.kind, told.subject) == ("quality-drop", {"route": ROUTE, "scorer": "tone"})
    assert found.interval is not None
    assert found.interval[1] < -0.05


def test_a_fall_whose_interval_holds_the_accepted_loss_is_not_told() -> None:
    found = compared(week(0.95, 0.86))
    assert found.difference is not None
    assert found.difference < -0.05
    assert not found.dropped
    assert finding(found, 0.05) is None
    assert compared(week(0.95, 0.70), loss=0.3).dropped is False


def test_the_same_quality_and_a_better_one_are_not_told() -> None:
    assert not compared(week(0.9, 0.9)).dropped
    assert not compared(week(0.7, 0.95)).dropped


def test_too_few_scores_know_nothing_and_so_resolve_nothing() -> None:
    few = [each for n, each in enumerate(week(0.95, 0.2)) if n % 6 == 0]
    found = compared(few)
    assert (found.difference, found.dropped) == (None, False)


def test_the_change_nearest_before_the_fall_is_named_and_not_a_later_one() -> None:
    fell = NOW - timedelta(hours=20)
    appearances = {
        (ROUTE, "route", ""): NOW - timedelta(days=60),
        (ROUTE, "release", "7"): NOW - timedelta(days=3),
        (ROUTE, "prompt", "answer@2"): fell - timedelta(minutes=10),
        (ROUTE, "model", "m-2"): NOW - timedelta(hours=5),
        ("search", "prompt", "find@9"): fell - timedelta(minutes=1),
    }
    found = compared(week(0.95, 0.6, since=fell), appearances)
    assert found.since is not None
    assert abs(found.since - fell) <= timedelta(hours=2)
    assert found.change is not None
    assert (found.change.dimension, found.change.value) == ("prompt", "answer@2")
    told = finding(found, 0.05)
    assert told is not None
    assert told.summary.endswith("Nearest change before: prompt version answer@2.")


def test_what_was_there_from_the_beginning_of_a_route_is_no_change() -> None:
    began = NOW - timedelta(days=6)
    found = compared(week(0.95, 0.6), {(ROUTE, "route", ""): began, (ROUTE, "prompt", "answer@1"): began})
    assert found.change is None
    told = finding(found, 0.05)
    assert told is not None
    assert told.summary.endswith("No change on record.")


def test_the_five_worst_answers_of_the_window_are_linked() -> None:
    scores = week(0.95, 0.6)
    found = compared(scores)
    assert [each.value for each in found.worst] == [0.0] * 5
    assert all(each.started_at >= NOW - timedelta(hours=24) for each in found.worst)
    told = finding(found, 0.05)
    assert told is not None
    assert list(told.links.values()) == [f"/api/requests/{each.trace_id}" for each in found.worst]


def test_scores_of_an_older_version_of_the_judge_are_not_compared_with() -> None:
    changed = [
        scored(trace_id=each.trace_id, started_at=each.started_at, value=each.value, scorer_version="v2",
               scored_at=NOW, inclusion=0.02)
        for each in week(0.95, 0.5) if each.started_at > NOW - timedelta(hours=20)
    ]  # fmt: skip
    old = [each for each in week(0.95, 0.5) if each.started_at <= NOW - timedelta(hours=20)]
    assert compared([*old, *changed]).difference is None


def test_the_onset_needs_scores_that_fell() -> None:
    assert onset([]) is None
    assert onset([scored()]) is None
