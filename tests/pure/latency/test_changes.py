"""What counts as a change of a route, and when it is looked at."""

from datetime import UTC, datetime, timedelta

import numpy as np

from watchkeeper.latency.changes import changes_of, slow_since
from watchkeeper.latency.streams import Labels, Traffic

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def traffic(*, changed_h_ago, dimension="prompt", slower=2.0, days=4, per_hour=100):
    """A route whose prompt version (or model, release) is new since some hours, and slower since."""
    rng = np.random.default_rng(1)
    at = np.sort(NOW.timestamp() - rng.uniform(0, days * 86_400, days * 24 * per_hour))
    new = at >= NOW.timestamp() - changed_h_ago * 3600
    ms = rng.lognormal(6, 0.3, at.size) * np.where(new, slower, 1)
    same = np.zeros(at.size, np.int64)
    labels = {name: Labels(same, ["old"]) for name in ("route", "model", "prompt", "release")}
    labels[dimension] = Labels(new.astype(np.int64), ["old", "new"])
    return Traffic(
        at=at, answered=np.ones(at.size, np.bool_), timed_out=np.zeros(at.size, np.bool_), latency_ms=ms,
        ttft_ms=np.full(at.size, np.nan), output=np.full(at.size, 100.0), **labels,
    )  # fmt: skip


def found(seen, **options):
    mine = np.ones(seen.at.size, np.bool_)
    changes = changes_of(seen, mine, NOW)
    return [slow for change in changes[:1] for slow in slow_since(seen, mine, change, NOW, ratio=1.2, **options)]


def test_what_was_there_on_the_first_day_is_no_change():
    seen = traffic(changed_h_ago=0)
    assert changes_of(seen, np.ones(seen.at.size, np.bool_), NOW) == []
    began_with_two = traffic(changed_h_ago=3.5 * 24)
    assert changes_of(began_with_two, np.ones(seen.at.size, np.bool_), NOW) == []


def test_each_of_prompt_model_and_release_is_a_change_and_is_found_slower():
    for dimension in ("prompt", "model", "release"):
        [slow] = found(traffic(changed_h_ago=20, dimension=dimension))
        assert (slow.change.dimension, slow.change.value, slow.longer) == (dimension, "new", False)
        assert slow.model == ("new" if dimension == "model" else "old")
        assert abs(slow.quantile.ratio - 2) < 0.2


def test_a_change_is_looked_at_from_three_hours_after_it():
    assert found(traffic(changed_h_ago=2.9)) == []
    assert len(found(traffic(changed_h_ago=3.1))) == 1


def test_a_rise_below_the_ratio_is_no_finding_and_one_that_is_not_certain_neither():
    assert found(traffic(changed_h_ago=20, slower=1.15)) == []
    assert found(traffic(changed_h_ago=20, slower=1.22, per_hour=20)) == []
    assert len(found(traffic(changed_h_ago=20, slower=1.4))) == 1


def test_the_newest_change_comes_first():
    seen = traffic(changed_h_ago=20)
    release = Labels((seen.at >= (NOW - timedelta(hours=5)).timestamp()).astype(np.int64), ["r1", "r2"])
    both = Traffic(**{name: getattr(seen, name) for name in Traffic.__dataclass_fields__} | {"release": release})
    changes = changes_of(both, np.ones(seen.at.size, np.bool_), NOW)
    assert [(each.dimension, each.value) for each in changes] == [("release", "r2"), ("prompt", "new")]
