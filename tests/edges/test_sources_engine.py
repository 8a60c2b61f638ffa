"""Every source through the whole engine: pulled, pulled again, scored, and pulled once more."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.edges.source_stand_ins.server import StandIn, serving
from tests.edges.test_sources import SOURCES
from watchkeeper.database.engine import Store
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.observability import service as observability
from watchkeeper.observability.redact import Policy
from watchkeeper.sources import service
from watchkeeper.sources.connect import connect
from watchkeeper.sources.interface import Kind, Scored, Source, SourceConfig
from watchkeeper.sources.pull import PullPlan

TEN = datetime(2026, 11, 24, 10, tzinfo=UTC)
PLAN = PullPlan(first=timedelta(hours=2))


@pytest.mark.parametrize("kind", SOURCES)
def test_requests_come_in_once_and_their_scores_go_back_once_and_are_no_feedback(
    sqlite_store: Store, kind: Kind
) -> None:
    made, given, _ = SOURCES[kind]
    with serving(made()) as stand_in:

        def there() -> Source:
            return connect(SourceConfig(name="there", kind=kind, base_url=stand_in.base_url, **given))

        def pull(clock: FrozenClock) -> service.Pulled:
            return service.pull(sqlite_store, "there", there, plan=PLAN, clock=clock, policy=Policy())

        _add(stand_in, "one", minutes=1)
        _add(stand_in, "two", minutes=2)
        clock = FrozenClock(TEN + timedelta(minutes=10))
        assert pull(clock).requests == 2
        before = list(observability.export_requests(sqlite_store))
        assert [r.attributes["pulled_from"] for r in before] == ["there", "there"]

        scores = [Scored(trace_id=r.trace_id, name="tone", value=0.5) for r in before]
        for _ in range(2):
            assert service.push(sqlite_store, "there", there(), scores).pushed == 2
        assert stand_in.pushed() == [("tone", 0.5), ("tone", 0.5)]

        clock.advance(timedelta(minutes=5))
        assert pull(clock).requests == 2
        assert list(observability.export_requests(sqlite_store)) == before


def _add(stand_in: StandIn, name: str, *, minutes: int) -> None:
    at = TEN + timedelta(minutes=minutes)
    stand_in.add(name, at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
