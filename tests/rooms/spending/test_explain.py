"""Why the bill changed, from the stored calls: parts that add up, the segments that moved, what has no price."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchkeeper.database.engine import Store
from watchkeeper.facts import service as facts
from watchkeeper.foundation.errors import NotFound, NothingToCheck
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Call, Request, Tokens
from watchkeeper.spending import service
from watchkeeper.spending.change import Explanation, Period

OLD = datetime(2026, 11, 17, 8, tzinfo=UTC)
NEW = datetime(2026, 11, 24, 8, tzinfo=UTC)
DAY = timedelta(days=1)


def calls(
    at: datetime,
    count: int,
    *,
    route: str = "answers",
    model: str = "gpt-a",
    input: int = 1000,
    rate: int = 2000,
    first: int = 1,
    **changes: object,
) -> list[Request]:
    """Requests of one call each, a minute apart; tokens vary, so that prices can be told from them."""
    made = []
    for number in range(first, first + count):
        tokens = Tokens(input=input + 7 * (number % 13), output=100 + number % 7)
        cost = rate * ((tokens.input or 0) + 4 * (tokens.output or 0))
        call = Call(span_id=f"{number:016x}", provider="openai", model_served=model, tokens=tokens, cost_nano_usd=cost)
        made.append(
            Request(
                trace_id=f"{int(at.timestamp()):x}{number:x}{model.encode().hex()}{route.encode().hex()}".ljust(
                    32, "0"
                )[:32],
                span_id=f"{number:016x}",
                started_at=at + timedelta(minutes=number),
                route=route,
                segment="free",
                calls=[replace(call, **changes)],  # type: ignore[arg-type]
            )
        )
    return made


def explained(store: Store, folder: Path, requests: Sequence[Request], **options: object) -> Explanation:
    records.import_requests(store, requests)
    windows = (Period(since=OLD, until=OLD + DAY), Period(since=NEW, until=NEW + DAY))
    return service.explain(store, folder, *windows, **options)  # type: ignore[arg-type]


def test_the_parts_add_up_to_the_change_and_the_segments_to_the_parts(store: Store, tmp_path: Path) -> None:
    found = explained(
        store,
        tmp_path,
        [
            *calls(OLD, 40),
            *calls(OLD, 10, model="gpt-b", rate=9000, first=100),
            *calls(NEW, 60, input=2500),
            *calls(NEW, 10, route="search", model="gpt-b", rate=9000, first=100),
            *calls(NEW, 3, error_type="timeout", first=200),
        ],
    )
    assert found.total.change != 0
    assert sum(found.total.parts.values()) == found.total.change == found.total.after - found.total.before
    for name, part in found.total.parts.items():
        assert part == sum(each.change.parts[name] for each in found.moved)
    assert found.total.parts["failures"] > 0
    assert found.total.tokens["input"] > 0
    assert [(each.route, each.model, each.calls) for each in found.moved] == [
        ("answers", "openai/gpt-a", (40, 60)),
        ("search", "openai/gpt-b", (0, 10)),
        ("answers", "openai/gpt-b", (10, 0)),
    ]


def test_a_dearer_model_is_price_and_nothing_else(store: Store, tmp_path: Path) -> None:
    found = explained(store, tmp_path, [*calls(OLD, 40), *calls(NEW, 40, rate=3000)])
    assert found.total.parts["price"] == pytest.approx(found.total.change, rel=1e-6)
    assert found.total.change == found.total.before / 2


def test_calls_without_a_price_are_in_no_figure_and_said(store: Store, tmp_path: Path) -> None:
    found = explained(
        store,
        tmp_path,
        [
            *calls(OLD, 5),
            *calls(NEW, 5),
            *calls(NEW, 4, first=50, cost_nano_usd=None),
            *calls(NEW, 2, first=60, cost_nano_usd=None, error_type="timeout"),
        ],
    )
    assert found.total.change == 0
    assert (found.calls[0].unpriced, found.calls[1].unpriced, found.calls[1].failed_unpriced) == (0, 4, 2)


def test_windows_of_different_length_are_compared_by_the_hour_too(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [*calls(OLD, 91), *calls(NEW, 182)])
    found = service.explain(
        store, tmp_path, Period(since=OLD, until=OLD + DAY), Period(since=NEW, until=NEW + 2 * DAY)
    )  # fmt: skip
    assert found.hourly is not None
    assert found.total.change == found.total.before > 0
    assert abs(found.hourly.change) <= 1
    assert found.hourly.before == round(found.total.before / 24)


def test_only_what_is_asked_for_is_compared_by_route_or_by_model(store: Store, tmp_path: Path) -> None:
    mine = [
        *calls(OLD, 10),
        *calls(NEW, 20),
        *calls(NEW, 10, model="gpt-b", first=30),
        *calls(NEW, 9, route="x", first=60),
    ]
    by_route = explained(store, tmp_path, mine, by="route", where={"route": "answers"})
    assert [(each.route, each.model, each.calls) for each in by_route.moved] == [("answers", None, (10, 30))]
    by_model = explained(store, tmp_path, [], by="model")
    assert {each.model: each.calls for each in by_model.moved} == {"openai/gpt-a": (10, 29), "openai/gpt-b": (0, 10)}
    with pytest.raises(NotFound, match="routes"):
        explained(store, tmp_path, [], where={"routes": "answers"})


def test_no_call_in_either_window_is_nothing_to_check_and_one_empty_window_is_volume(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(NothingToCheck):
        explained(store, tmp_path, [])
    found = explained(store, tmp_path, calls(NEW, 10))
    assert found.total.parts["volume"] == found.total.change > 0
    assert found.calls[0].calls == 0


def test_it_is_the_same_from_files_as_from_the_store(store: Store, tmp_path: Path) -> None:
    requests = [*calls(OLD, 90), *calls(NEW, 120, input=1500)]
    open_hours = explained(store, tmp_path, requests)
    assert facts.write_settled(store, tmp_path, NEW + DAY).hours > 0
    assert explained(store, tmp_path, []) == open_hours


def test_the_evidence_is_plain_values_with_the_segments_that_moved_most(store: Store, tmp_path: Path) -> None:
    evidence = explained(store, tmp_path, [*calls(OLD, 10), *calls(NEW, 30)]).evidence
    assert evidence["per"] == "window"
    assert sum(evidence["parts_usd"].values()) == pytest.approx(evidence["after_usd"] - evidence["before_usd"])
    assert [each["model"] for each in evidence["moved"]] == ["openai/gpt-a"]


def test_what_fell_most_comes_before_what_rose_less(store: Store, tmp_path: Path) -> None:
    found = explained(store, tmp_path, [*calls(OLD, 40, model="gone"), *calls(OLD, 5), *calls(NEW, 15)])
    assert [each.model for each in found.moved] == ["openai/gone", "openai/gpt-a"]
