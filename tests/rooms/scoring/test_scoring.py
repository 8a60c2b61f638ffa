"""Who is sampled and scored, over a real store; on both engines."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from tests.rooms.scoring.traffic import NOW, ROUTE, Scorer, plan, prompt, request, thumb_down

from watchkeeper.database.engine import Store, open_store
from watchkeeper.facts import service as facts
from watchkeeper.foundation.clock import FrozenClock, SystemClock
from watchkeeper.foundation.errors import Conflict, StoreFailed
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Request
from watchkeeper.scoring import service
from watchkeeper.scoring.planning import Plan, Run
from watchkeeper.scoring.scored import ScoredSample
from watchkeeper.scoring.scorer import LiveScore

DAY = (NOW - timedelta(hours=24), NOW + timedelta(hours=1))


def run(store: Store, tmp_path: Path, given: Plan, *, minutes: int = 0, **options: object) -> Run:
    clock = FrozenClock(NOW + timedelta(minutes=minutes))
    return service.score(store, tmp_path / "facts", given, clock=clock, **options)  # type: ignore[arg-type]


def scores(store: Store) -> dict[str, ScoredSample]:
    found, _ = service.scored(store, *DAY)
    return {each.trace_id: each for each in found}


def backfill(store: Store, tmp_path: Path, given: Plan, *, minutes: int = 0) -> Run:
    return run(store, tmp_path, given, minutes=minutes, since=NOW - timedelta(hours=12))


def test_only_settled_answers_of_real_users_are_scored(store: Store, tmp_path: Path) -> None:
    settled, undeclared = request(1), request(2, source=None)
    others = [
        request(3, source="test"),
        request(4, response=""),
        request(5, route="search"),
        request(6, at=NOW - timedelta(minutes=9)),
        request(7, at=NOW - timedelta(minutes=11), latency_ms=120_000.0),
    ]
    records.import_requests(store, [settled, undeclared, *others])
    backfill(store, tmp_path, plan(Scorer(), target=1.0))
    assert set(scores(store)) == {settled.trace_id, undeclared.trace_id}


def test_what_settles_later_is_scored_by_a_later_run_though_nothing_was_written_since(
    store: Store, tmp_path: Path
) -> None:
    run(store, tmp_path, plan(Scorer()))  # sampling begins
    records.import_requests(store, [late := request(1, at=NOW + timedelta(minutes=1))])
    run(store, tmp_path, plan(Scorer(), target=1.0), minutes=5)
    assert scores(store) == {}
    run(store, tmp_path, plan(Scorer(), target=1.0), minutes=20)
    assert set(scores(store)) == {late.trace_id}


def test_the_schedule_leaves_alone_what_came_before_sampling_began(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1, at=NOW - timedelta(hours=5)), request(2)])
    run(store, tmp_path, plan(Scorer(), target=1.0))
    assert scores(store) == {}


def test_a_second_run_asks_about_nothing_again(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(n) for n in range(200)])
    scorer = Scorer()
    first = backfill(store, tmp_path, plan(scorer, target=0.3))
    second = backfill(store, tmp_path, plan(scorer, target=0.3))
    assert 0 < first.chosen < 200
    assert (second.chosen, second.scored) == (0, 0)
    assert set(scorer.asked.values()) == {1}


def test_a_late_thumb_raises_the_probability_that_stands_on_the_score(store: Store, tmp_path: Path) -> None:
    given = [request(n) for n in range(300)]
    records.import_requests(store, given)
    sampling = plan(Scorer(), target=0.02)
    backfill(store, tmp_path, sampling)
    before = scores(store)
    assert {each.inclusion for each in before.values()} <= {0.02}
    for r in given:
        records.feedback(store, r.trace_id, thumb_down(), now=NOW)
    run(store, tmp_path, sampling, minutes=15)
    after = scores(store)
    assert {(each.stratum, each.inclusion) for each in after.values()} == {("negative_feedback", 0.6)}
    with store.read() as session:
        kept = session.connection().exec_driver_sql("SELECT DISTINCT stratum, inclusion FROM scores").all()
    assert [tuple(row) for row in kept] == [("negative_feedback", 0.6)]
    assert set(before) <= set(after)
    assert 120 < len(after) < 240
    _, hours = service.scored(store, *DAY)
    assert {(group.stratum, group.requests) for row in hours for group in row.population} == {
        ("negative_feedback", 300)
    }


def test_a_stratum_never_falls_though_its_signal_goes(store: Store, tmp_path: Path) -> None:
    r = request(1, error_type="timeout")
    records.import_requests(store, [r])
    sampling = plan(Scorer(), target=0.2)
    backfill(store, tmp_path, sampling)
    assert scores(store)[r.trace_id].inclusion == 1.0
    records.import_requests(store, [request(1, error_type=None)])
    run(store, tmp_path, sampling, minutes=15)
    assert (scores(store)[r.trace_id].stratum, scores(store)[r.trace_id].inclusion) == ("failed", 1.0)
    _, hours = service.scored(store, *DAY)
    assert [group.stratum for row in hours for group in row.population] == ["failed"], "its sample stands for it"


def test_the_rate_of_a_quarter_of_an_hour_stays_what_it_was(store: Store, tmp_path: Path) -> None:
    sampling_began = plan(Scorer(), target=0.5)
    run(store, tmp_path, sampling_began, minutes=-60)
    records.import_requests(store, [request(n, at=NOW - timedelta(minutes=50)) for n in range(100)])
    run(store, tmp_path, plan(Scorer(), target=0.5))
    records.import_requests(store, [request(n, at=NOW - timedelta(minutes=50)) for n in range(100, 200)])
    run(store, tmp_path, plan(Scorer(), target=0.1), minutes=15)
    assert {each.inclusion for each in scores(store).values()} == {0.5}


def test_two_runs_at_once_are_refused_and_the_dead_are_not_waited_for(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1)])

    class Meanwhile(Scorer):
        def score(self, requests: Sequence[Request]) -> list[LiveScore]:
            with pytest.raises(Conflict, match="another run is scoring"):
                backfill(store, tmp_path, plan(Scorer(), target=1.0))
            return super().score(requests)

    backfill(store, tmp_path, plan(scorer := Meanwhile(), target=1.0))
    assert list(scorer.asked.values()) == [1]


class _Killed(Scorer):
    def score(self, requests: Sequence[Request]) -> list[LiveScore]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []


def _be_killed(url: str, folder: str) -> None:
    opened = open_store(url)
    service.score(
        opened, Path(folder), plan(_Killed(), target=0.5), clock=SystemClock(), since=NOW - timedelta(hours=12)
    )


def test_a_process_killed_between_choosing_and_scoring_loses_nothing(sqlite_store: Store, tmp_path: Path) -> None:
    records.import_requests(sqlite_store, [request(n) for n in range(100)])
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_be_killed, args=(sqlite_store.url, str(tmp_path / "facts")))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    scorer = Scorer()
    done = backfill(sqlite_store, tmp_path, plan(scorer, target=0.5))
    assert done.chosen == 0, "chosen by the one that was killed"
    assert done.scored == len(scores(sqlite_store)) == len(scorer.asked) > 20


def test_a_failure_of_the_store_stops_before_the_next_batch_is_paid_for(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(n) for n in range(5)])

    def broken(_: Request) -> LiveScore:
        raise StoreFailed("the disk of the store is full")

    with pytest.raises(StoreFailed):
        backfill(store, tmp_path, plan(Scorer(rule=broken), target=1.0))
    assert backfill(store, tmp_path, plan(Scorer(), target=1.0)).scored == 5


def test_a_judgement_that_failed_is_missing_and_asked_for_at_most_three_times(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1)])
    scorer = Scorer(rule=lambda _: LiveScore(value=None, missing="failed: timeout"))
    for _ in range(5):
        backfill(store, tmp_path, plan(scorer, target=1.0))
    assert list(scorer.asked.values()) == [3]
    [found] = scores(store).values()
    assert (found.value, found.missing) == (None, "failed: timeout")


def test_a_refused_judgement_is_not_asked_for_again(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1)])
    scorer = Scorer(rule=lambda _: LiveScore(value=None, missing="refused"))
    for _ in range(2):
        backfill(store, tmp_path, plan(scorer, target=1.0))
    assert list(scorer.asked.values()) == [1]


def priced(_: Request) -> LiveScore:
    return LiveScore(value=1.0, cost_nano_usd=1_000_000)


def test_a_backfill_says_what_it_would_cost_and_then_costs_that(store: Store, tmp_path: Path) -> None:
    scorer = Scorer(rule=priced, paid=True)
    records.import_requests(store, [request(0, at=NOW - timedelta(hours=4))])
    backfill(store, tmp_path, plan(scorer, target=1.0))  # the price is measured
    records.import_requests(store, [request(n) for n in range(1, 400)])
    asked = plan(scorer, target=0.5)
    most = 100_000_000
    told = service.preview(
        store, tmp_path / "facts", asked, now=NOW, since=NOW - timedelta(hours=12), most_nano_usd=most
    )
    assert told.assumed == []
    assert told.rate == pytest.approx(0.25, rel=0.01)
    before = len(scores(store))
    done = run(store, tmp_path, asked, since=NOW - timedelta(hours=12), most_nano_usd=most)
    assert told.cost_nano_usd == told.new * 1_000_000
    assert done.chosen == told.new, "what was told is what is chosen"
    assert done.scored == len(scores(store)) - before == min(told.new, 100)
    assert (done.cost_nano_usd, done.waiting) == (done.scored * 1_000_000, told.new - done.scored)


def test_a_run_with_little_money_stops_and_the_next_goes_on(store: Store, tmp_path: Path) -> None:
    scorer = Scorer(rule=priced, paid=True)
    records.import_requests(store, [request(0)])
    backfill(store, tmp_path, plan(scorer, target=1.0))
    records.import_requests(store, [request(n) for n in range(1, 31)])  # the quarter's rate is 1 and stays so
    first = run(store, tmp_path, plan(scorer, target=1.0), since=NOW - timedelta(hours=12), most_nano_usd=10_000_000)
    assert (first.cost_nano_usd, first.waiting > 0) == (10_000_000, True)
    second = backfill(store, tmp_path, plan(scorer, target=1.0))
    assert (first.scored, second.scored) == (10, 20)
    assert set(scorer.asked.values()) == {1}


def test_pruned_records_leave_what_their_samples_stand_for(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(n) for n in range(100)])
    backfill(store, tmp_path, plan(Scorer(), target=0.2))
    records.prune(store, NOW)
    run(store, tmp_path, plan(Scorer(), target=0.2), minutes=15)
    _, hours = service.scored(store, *DAY)
    assert sum(row.eligible for row in hours) == 100


def test_a_new_prompt_version_is_sampled_more_for_a_day(store: Store, tmp_path: Path) -> None:
    old = [request(n, at=NOW - timedelta(hours=40), prompt=prompt("1")) for n in range(10)]
    new = [request(n, at=NOW - timedelta(hours=10), prompt=prompt("2")) for n in range(10, 20)]
    records.import_requests(store, [*old, *new])
    run(store, tmp_path, plan(Scorer(), target=0.1), since=NOW - timedelta(hours=48))
    _, hours = service.scored(store, NOW - timedelta(hours=48), NOW)
    assert {(g.prompt, g.stratum) for row in hours for g in row.population} == {
        ("answer@1", "ordinary"), ("answer@2", "new_version")
    }  # fmt: skip


def test_why_says_of_each_request_what_became_of_it(store: Store, tmp_path: Path) -> None:
    given = [request(n) for n in range(100)]
    test_run = request(100, source="test")
    records.import_requests(store, [*given, test_run])
    sampling = plan(Scorer(), target=0.3)
    backfill(store, tmp_path, sampling)
    sampled = scores(store)
    said = {
        r.trace_id: [(s.step, s.done, s.detail) for s in service.why(store, [r], sampling, now=NOW)]
        for r in (*given, test_run)
    }
    assert said[test_run.trace_id] == [("eligible", False, "skipped because source=test")]
    for r in given:
        eligible, chosen, *judged = said[r.trace_id]
        assert eligible[:2] == ("eligible", True)
        if r.trace_id in sampled:
            assert (chosen[2][:13], chosen[2][-6:]) == ("ordinary: u 0", " < 0.3")
            assert judged == [("judged", True, "tone 1.00")]
        else:
            assert (chosen[2][:15], chosen[2][-7:]) == ("not chosen: u 0", " >= 0.3")
            assert judged == []


def test_the_funnel_counts_every_stage_by_hour(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [*(request(n) for n in range(40)), request(50, source="test")])
    scorer = Scorer(rule=lambda r: LiveScore(value=None if int(r.span_id, 16) % 2 else 1.0, missing="refused"))
    backfill(store, tmp_path, plan(scorer, target=1.0))
    [row] = [each for each in service.funnel(store, NOW - timedelta(hours=3), NOW) if each.seen]
    assert (row.route, row.seen, row.eligible, row.sampled, row.judged, row.valid) == (ROUTE, 41, 40, 40, 40, 20)


def test_the_facts_of_scores_are_what_the_store_holds_before_and_after_they_are_written(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "facts"

    def in_the_facts() -> dict[str, tuple[float, str]]:
        table = facts.read(store, folder, "scores", *DAY, columns=["trace_id", "inclusion", "stratum", "value"])
        return {row["trace_id"]: (row["inclusion"], row["stratum"]) for row in table.to_pylist()}

    given = [request(n) for n in range(120)]
    records.import_requests(store, given)
    sampling = plan(Scorer(), target=0.3)
    facts.write_settled(store, folder, NOW)
    assert in_the_facts() == {}
    backfill(store, tmp_path, sampling)
    assert in_the_facts() == {trace: (each.inclusion, each.stratum) for trace, each in scores(store).items()}
    facts.write_settled(store, folder, NOW)
    for r in given:
        records.feedback(store, r.trace_id, thumb_down(), now=NOW)
    run(store, tmp_path, sampling, minutes=15)
    assert in_the_facts() == {trace: (each.inclusion, each.stratum) for trace, each in scores(store).items()}
    assert {stratum for _, stratum in in_the_facts().values()} == {"negative_feedback"}
