"""Budgets on a real store: facts of requests and of calls, what is remembered, what becomes of incidents."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from watchkeeper.app import App
from watchkeeper.budgets import service
from watchkeeper.database.engine import Store
from watchkeeper.foundation.clock import FrozenClock
from watchkeeper.foundation.errors import NotFound, NothingToCheck
from watchkeeper.incidents import service as incidents
from watchkeeper.jobs.budgets import check_budgets, demand_budgets
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Call, Request, Tokens
from watchkeeper.settings import load_settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALL = '[[budgets]]\nname = "all"\nlimit_usd = 100\n'


def request(number: int, *, ago: timedelta, usd: float | None = 1.0, model: str = "m", **changes: object) -> Request:
    call = Call(
        span_id=f"{number:016x}",
        provider="openai",
        model_served=model,
        tokens=Tokens(input=1000, output=100),
        cost_nano_usd=None if usd is None else round(usd * 1e9),
    )
    values = {"route": "answers", "started_at": NOW - ago, "calls": [call], **changes}
    return Request(trace_id=f"{number:032x}", span_id=f"{10**6 + number:016x}", **values)  # type: ignore[arg-type]


def store_requests(store: Store, requests: list[Request]) -> None:
    records.import_requests(store, requests)


@pytest.fixture
def app(tmp_path: Path, store: Store) -> App:
    return app_of(tmp_path, store, ALL)


def app_of(root: Path, store: Store, config: str, *, now: datetime = NOW) -> App:
    path = root / "watchkeeper.toml"
    path.write_text(config)
    return App(settings=load_settings(path), store=store, clock=FrozenClock(now), root=root)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def open_kinds(store: Store) -> dict[str, str]:
    return {f"{i.kind} {i.subject['budget']}": i.status for i in incidents.list_incidents(store)}


def test_what_was_spent_this_month_is_exact_and_what_has_no_price_stands_beside_it(app: App) -> None:
    store_requests(
        app.store,
        [
            request(1, ago=hours(1), usd=0.000000001),
            request(2, ago=hours(2), usd=12.5),
            request(3, ago=hours(3), usd=None),
            request(4, ago=timedelta(days=24), usd=50),  # October
        ],
    )
    [checked] = check_budgets(app)
    assert checked.now.spent_nano_usd == 12_500_000_001
    assert (checked.now.rows, checked.now.unpriced, checked.verdict) == (3, 1, "within")
    last = service.last_checks(app.store)["all"]
    assert (last.spent_nano_usd, last.unpriced, last.verdict, last.checked_at) == (12_500_000_001, 1, "within", NOW)


def test_a_budget_reached_is_an_incident_until_the_period_ends(tmp_path: Path, store: Store) -> None:
    store_requests(store, [request(n, ago=hours(n), usd=60) for n in (1, 2)])
    [checked] = check_budgets(app_of(tmp_path, store, ALL))
    assert checked.verdict == "exceeded"
    assert open_kinds(store) == {"budget-burn all": "firing"}
    waiting = incidents.deliver(store, None, base_url="http://127.0.0.1", clock=FrozenClock(NOW)).messages
    assert len(waiting) == 1  # the incident's own; the limit is not told a second time as a threshold
    [again] = check_budgets(app_of(tmp_path, store, ALL, now=NOW + timedelta(minutes=10)))
    assert again.news == ()
    check_budgets(app_of(tmp_path, store, ALL, now=datetime(2026, 12, 1, tzinfo=UTC)))
    assert open_kinds(store) == {"budget-burn all": "resolved"}


def test_a_share_of_the_limit_is_a_message_once_and_no_incident(app: App) -> None:
    store_requests(app.store, [request(1, ago=hours(1), usd=81)])
    for _ in range(2):
        check_budgets(app)
    assert open_kinds(app.store) == {}
    delivery = incidents.deliver(app.store, None, base_url="http://127.0.0.1", clock=app.clock)
    [message] = delivery.messages
    assert "Budget all: 80% of $100.00 a month is reached: $81.00 spent." in message.text


def test_a_budget_of_calls_counts_the_calls_of_its_model_only(tmp_path: Path, store: Store) -> None:
    store_requests(store, [request(1, ago=hours(1), usd=3), request(2, ago=hours(1), usd=4, model="dear")])
    config = '[[budgets]]\nname = "dear"\nlimit_usd = 100\nwhere = { model = "dear", route = "answers" }\n'
    [checked] = check_budgets(app_of(tmp_path, store, config))
    assert (checked.now.spent_nano_usd, checked.now.rows) == (4 * 10**9, 1)


def test_records_without_a_label_can_be_a_budget(tmp_path: Path, store: Store) -> None:
    store_requests(store, [request(1, ago=hours(1), usd=3, segment="free"), request(2, ago=hours(1), usd=4)])
    config = '[[budgets]]\nname = "none"\nlimit_usd = 100\nwhere = { segment = "" }\n'
    [checked] = check_budgets(app_of(tmp_path, store, config))
    assert checked.now.spent_nano_usd == 4 * 10**9


def test_a_rolling_budget_forgets_what_is_older(tmp_path: Path, store: Store) -> None:
    store_requests(store, [request(1, ago=hours(23), usd=3), request(2, ago=hours(25), usd=4)])
    [checked] = check_budgets(app_of(tmp_path, store, '[[budgets]]\nname = "day"\nperiod = "24h"\nlimit_usd = 100\n'))
    assert checked.now.spent_nano_usd == 3 * 10**9
    assert checked.now.forecast is None


def test_spend_far_above_the_usual_is_a_spike_that_names_who_and_what(tmp_path: Path, store: Store) -> None:
    usual = [request(n, ago=hours(n / 4) + timedelta(minutes=2), usd=0.25) for n in range(12, 4 * 24 * 20)]
    jump = [
        request(10_000 + n, ago=timedelta(minutes=n), usd=0.25, route="loop", segment="free") for n in range(1, 180)
    ]
    store_requests(store, usual + jump)
    [checked] = check_budgets(app_of(tmp_path, store, '[[budgets]]\nname = "all"\nlimit_usd = 100000\n'))
    assert open_kinds(store) == {"cost-spike all": "firing"}
    [finding] = checked.findings
    assert "above the week before: route loop +$44.75" in finding.summary
    assert set(finding.evidence["parts_usd"]) == {"volume", "mix", "tokens", "price", "failures"}
    assert sum(finding.evidence["parts_usd"].values()) == pytest.approx(finding.evidence["change_usd"])


def test_a_budget_taken_out_of_the_configuration_has_no_open_incident(tmp_path: Path, store: Store) -> None:
    store_requests(store, [request(1, ago=hours(1), usd=200)])
    check_budgets(app_of(tmp_path, store, ALL))
    check_budgets(app_of(tmp_path, store, ""))
    assert open_kinds(store) == {"budget-burn all": "resolved"}
    assert service.last_checks(store) == {}


def test_one_budget_can_be_looked_at_and_the_others_stay_as_they_are(tmp_path: Path, store: Store) -> None:
    store_requests(store, [request(1, ago=hours(1), usd=200)])
    two = ALL + ALL.replace('"all"', '"other"')
    check_budgets(app_of(tmp_path, store, two))
    [checked] = check_budgets(app_of(tmp_path, store, two), ["other"])
    assert checked.now.budget.name == "other"
    assert set(open_kinds(store).values()) == {"firing"}
    assert len(open_kinds(store)) == 2


def test_a_name_that_is_no_budget_says_the_nearest(app: App) -> None:
    with pytest.raises(
        NotFound, match=r"No budget named 'al' in \[\[budgets\]\] of watchkeeper.toml. Did you mean 'all'"
    ):
        check_budgets(app, ["al"])


def test_without_a_budget_there_is_nothing_to_check(tmp_path: Path, sqlite_store: Store) -> None:
    with pytest.raises(NothingToCheck, match="no budget is configured"):
        demand_budgets(app_of(tmp_path, sqlite_store, ""))


def test_a_check_that_dies_before_it_is_remembered_tells_again(app: App) -> None:
    store_requests(app.store, [request(1, ago=hours(1), usd=60)])
    first = service.check(app.store, app.settings.store.facts, _budgets(app), now=NOW)
    again = service.check(app.store, app.settings.store.facts, _budgets(app), now=NOW)
    assert first[0].news == again[0].news == (0.5,)


def _budgets(app: App) -> list:  # type: ignore[type-arg]
    from watchkeeper.jobs.budgets import budgets_of

    return budgets_of(app.settings)
