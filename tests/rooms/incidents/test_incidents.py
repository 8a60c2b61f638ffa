"""Findings against the store: one incident per thing that holds, whoever finds it and however often."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from watchkeeper.database.engine import Store
from watchkeeper.foundation.errors import Conflict, Misconfigured, NotFound
from watchkeeper.foundation.finding import Finding
from watchkeeper.incidents import service
from watchkeeper.incidents.document import as_document
from watchkeeper.incidents.reconcile import Scope, Transition
from watchkeeper.incidents.runbook import RunbookShelf

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
SCOPE = Scope(kinds=frozenset({"timeouts"}))


def finding(route: str = "support.answer", summary: str = "5 % of requests time out", **fields: Any) -> Finding:
    values: dict[str, Any] = {"severity": "error", **fields}
    return Finding(kind="timeouts", subject={"route": route}, summary=summary, **values)


def found(store: Store, *findings: Finding, scope: Scope = SCOPE, now: datetime = NOW) -> list[Transition]:
    return service.reconcile(store, findings, scope=scope, now=now, first_moves={"timeouts": "Look at {route}."})


def waiting(store: Store) -> int:
    return service.outbox_state(store).waiting


def test_a_finding_opens_one_incident_and_one_message(store: Store) -> None:
    (change,) = found(store, finding())
    (incident,) = service.list_incidents(store)
    assert change.incident == incident
    assert (incident.status, incident.occurrences, incident.first_move) == ("firing", 1, "Look at support.answer.")
    assert waiting(store) == 1


def test_the_same_finding_again_is_counted_and_not_told(store: Store) -> None:
    found(store, finding())
    (change,) = found(store, finding(), now=LATER)
    assert (change.action, change.tell) == ("update", False)
    (incident,) = service.list_incidents(store)
    assert (incident.occurrences, incident.opened_at, incident.last_seen_at) == (2, NOW, LATER)
    assert waiting(store) == 1


@pytest.mark.parametrize("worse", [{"summary": "9 % of requests time out"}, {"severity": "critical"}])
def test_new_numbers_and_a_new_severity_are_told(store: Store, worse: dict[str, str]) -> None:
    found(store, finding())
    (change,) = found(store, finding(**worse), now=LATER)
    assert change.tell
    incident = service.show(store, change.incident.id)
    assert (incident.summary, incident.severity) == (change.incident.summary, change.incident.severity)


def test_what_is_found_no_more_is_resolved_only_in_its_scope(store: Store) -> None:
    found(store, finding("a"), finding("b"))
    found(store, scope=Scope(kinds=frozenset({"timeouts"}), subject={"route": "a"}), now=LATER)
    assert {i.subject["route"]: i.status for i in service.list_incidents(store)} == {"a": "resolved", "b": "firing"}
    found(store, scope=Scope(kinds=frozenset({"cost-spike"})))
    found(store, scope=Scope(kinds=frozenset()))
    assert len(service.list_incidents(store, status="firing")) == 1


def test_the_same_trouble_after_its_end_is_a_new_incident(store: Store) -> None:
    found(store, finding())
    found(store, now=LATER)
    found(store, finding(), now=LATER + timedelta(hours=1))
    assert [i.status for i in service.list_incidents(store)] == ["firing", "resolved"]


def test_eight_racing_checks_open_one_incident(store: Store) -> None:
    ready = threading.Barrier(8)
    failures: list[BaseException] = []

    def race() -> None:
        try:
            ready.wait()
            found(store, finding("a"), finding("b"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted((i.subject["route"], i.occurrences) for i in service.list_incidents(store)) == [("a", 8), ("b", 8)]
    assert waiting(store) == 2


def test_racing_notices_of_one_key_are_queued_once(store: Store) -> None:
    queued: list[bool] = []

    def race() -> None:
        queued.append(service.notice(store, key="upgrade passed", summary="Safe to upgrade", now=NOW))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(queued) == [False] * 7 + [True]
    assert waiting(store) == 1


def test_acknowledging_twice_is_acknowledging_once(store: Store) -> None:
    found(store, finding())
    (incident,) = service.list_incidents(store)
    first = service.acknowledge(store, incident.id, who="ada", now=LATER)
    second = service.acknowledge(store, incident.id, who="bob", now=LATER + timedelta(minutes=1))
    assert first == second
    assert (first.status, first.acknowledged_by, first.acknowledged_at) == ("acknowledged", "ada", LATER)
    assert [(e.what, e.who) for e in service.history(store, incident.id)] == [
        ("opened", "check"),
        ("acknowledged", "ada"),
    ]


def test_an_acknowledged_incident_stays_so_while_it_is_found(store: Store) -> None:
    found(store, finding())
    (incident,) = service.list_incidents(store)
    service.acknowledge(store, incident.id, who="ada", now=LATER)
    found(store, finding(), now=LATER)
    assert service.show(store, incident.id).status == "acknowledged"


def test_a_resolved_incident_cannot_be_acknowledged(store: Store) -> None:
    found(store, finding())
    (incident,) = service.list_incidents(store)
    service.resolve(store, incident.id, who="ada", now=LATER)
    assert service.resolve(store, incident.id, who="bob", now=LATER).resolved_by == "ada"
    with pytest.raises(Conflict, match="resolved and cannot become acknowledged"):
        service.acknowledge(store, incident.id, who="ada", now=LATER)


def test_an_incident_is_found_by_a_unique_beginning_of_its_id(store: Store) -> None:
    found(store, finding("a"), finding("b"))
    first, second = service.list_incidents(store)
    common = next(n for n in range(26) if first.id[n] != second.id[n])
    assert service.show(store, first.id[: common + 1]) == first
    with pytest.raises(NotFound, match="single incident"):
        service.show(store, first.id[:common])
    with pytest.raises(NotFound, match="No incident named 'nothing'"):
        service.show(store, "nothing")
    with pytest.raises(NotFound):
        service.show(store, "")


def test_a_name_is_asked_for(store: Store) -> None:
    found(store, finding())
    (incident,) = service.list_incidents(store)
    with pytest.raises(Misconfigured, match="--by"):
        service.acknowledge(store, incident.id, who=" ", now=LATER)


def test_an_unknown_status_names_the_near_one(sqlite_store: Store) -> None:
    with pytest.raises(NotFound, match="firing"):
        service.list_incidents(sqlite_store, status="fireing")


def test_text_no_database_would_take_is_stored_without_what_it_refuses(store: Store) -> None:
    found(store, finding(summary="nul \x00 and half a pair \ud800"))
    (incident,) = service.list_incidents(store)
    assert incident.summary == "nul  and half a pair "


def test_a_missing_or_broken_runbook_does_not_keep_an_incident_from_opening(sqlite_store: Store, tmp_path: Any) -> None:
    (tmp_path / "timeouts.md").write_text("---\n{ not yaml\n---\n")
    service.reconcile(sqlite_store, [finding()], scope=SCOPE, now=NOW, first_moves=RunbookShelf((tmp_path,)))
    (incident,) = service.list_incidents(sqlite_store)
    assert incident.first_move == "Open the runbook: `watchkeeper runbooks show timeouts`"


def test_the_document_has_the_promised_keys(sqlite_store: Store) -> None:
    found(sqlite_store, finding())
    (incident,) = service.list_incidents(sqlite_store)
    document = as_document(incident, base_url="http://127.0.0.1:8700/")
    assert list(document) == [
        "id", "kind", "severity", "status", "subject", "dedup_key", "summary", "first_move", "runbook_url",
        "opened_at", "last_seen_at", "resolved_at", "occurrences", "evidence", "slack",
    ]  # fmt: skip
    assert document["runbook_url"] == f"http://127.0.0.1:8700/runbooks/timeouts?incident={incident.id}"
    published = as_document(incident, base_url="http://x", runbooks_url="https://git/blob/main/runbooks/")
    assert published["runbook_url"] == "https://git/blob/main/runbooks/timeouts.md"


def test_without_a_channel_messages_wait_and_are_shown_once_an_incident(sqlite_store: Store) -> None:
    from watchkeeper.foundation.clock import FrozenClock

    found(sqlite_store, finding())
    service.notice(sqlite_store, key="k", summary="Safe to upgrade", lines=["all suites pass"], now=NOW)
    for _ in range(2):
        report = service.deliver(sqlite_store, None, base_url="http://127.0.0.1:8700", clock=FrozenClock(NOW))
        assert (report.sent, report.waiting, len(report.messages)) == (0, 2, 2)
    assert "5 % of requests time out" in report.messages[0].text
    assert "Safe to upgrade" in report.messages[1].text
