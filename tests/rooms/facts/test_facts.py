"""When facts are written, what becomes of their files, and that figures over them are exact; on both engines."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from watchkeeper.database.engine import Store
from watchkeeper.facts import service
from watchkeeper.facts.files import GRACE
from watchkeeper.foundation.errors import NotFound, StoreFailed
from watchkeeper.observability import service as records
from watchkeeper.observability.request import Call, Prompt, Request, Tokens

HOUR = datetime(2026, 11, 24, 8, tzinfo=UTC)
SETTLED = HOUR + timedelta(hours=1, minutes=10)
DAY = (HOUR - timedelta(hours=8), HOUR + timedelta(hours=16))


def request(number: int, *, minutes: float = 5, cost: int | None = 1, **changes: Any) -> Request:
    call = Call(span_id=f"{number:016x}", model_served="m", tokens=Tokens(input=number), cost_nano_usd=cost)
    at = HOUR + timedelta(minutes=minutes)
    given: dict[str, Any] = {"route": "r", "latency_ms": float(number), "calls": [call], **changes}
    return Request(trace_id=f"{number:032x}", span_id=f"{number:016x}", started_at=at, **given)


def file_names(folder: Path) -> list[str]:
    return sorted(f"{path.parent.name}/{path.name[:14]}" for path in folder.glob("*/*"))


def numbers(store: Store, folder: Path) -> list[int]:
    table = service.read(store, folder, "requests", *DAY, columns=["trace_id"])
    return sorted(int(each, 16) for each in table["trace_id"].to_pylist())


@dataclass(frozen=True, slots=True)
class Interrupted(Store):
    """A store in which something else happens between the file and its row."""

    @contextmanager
    def write(self) -> Iterator[Any]:
        meanwhile = Store(url=self.url, reader=self.reader, writer=self.writer)
        records.import_requests(meanwhile, [request(2)])
        service.write_settled(meanwhile, FOLDERS[0], SETTLED)
        with meanwhile.write() as session:
            yield session


FOLDERS: list[Path] = []


class Stopped(Exception):
    """The process ends here."""


@dataclass(frozen=True, slots=True)
class Crashing(Store):
    @contextmanager
    def write(self) -> Iterator[Any]:
        raise Stopped
        yield


def test_an_hour_is_written_ten_minutes_after_its_end_and_not_before(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1)])
    before = service.write_settled(store, tmp_path / "f", SETTLED - timedelta(seconds=1))
    assert (before.hours, file_names(tmp_path / "f")) == (0, [])
    assert service.state(store, tmp_path / "f").oldest_open == HOUR
    done = service.write_settled(store, tmp_path / "f", SETTLED)
    assert (done.hours, done.rows) == (3, 2)  # of requests, of calls, and of scores, where there are none
    assert file_names(tmp_path / "f") == ["calls/20261124T08-v1", "requests/20261124T08-v1"]
    assert (service.state(store, tmp_path / "f").hours, service.state(store, tmp_path / "f").oldest_open) == (1, None)


def test_an_hour_that_did_not_change_is_not_written_again(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1)])
    service.write_settled(store, tmp_path, SETTLED)
    before = set(tmp_path.glob("*/*"))
    assert service.write_settled(store, tmp_path, SETTLED + timedelta(days=1)).hours == 0
    assert set(tmp_path.glob("*/*")) == before


def test_what_was_replaced_stays_as_long_as_a_reader_may_have_it_open(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1)])
    service.write_settled(store, tmp_path, SETTLED)
    records.import_requests(store, [request(2)])
    later = SETTLED + timedelta(days=1)
    service.write_settled(store, tmp_path, later)
    assert file_names(tmp_path / "") == [
        "calls/20261124T08-v1", "calls/20261124T08-v2", "requests/20261124T08-v1", "requests/20261124T08-v2"
    ]  # fmt: skip
    assert service.write_settled(store, tmp_path, later + GRACE).removed == 0
    assert service.write_settled(store, tmp_path, later + GRACE + timedelta(seconds=1)).removed == 2
    assert file_names(tmp_path) == ["calls/20261124T08-v2", "requests/20261124T08-v2"]
    assert numbers(store, tmp_path) == [1, 2]


def test_a_crash_between_file_and_row_leaves_a_file_that_nobody_reads_and_is_swept(
    store: Store, tmp_path: Path
) -> None:
    records.import_requests(store, [request(1)])
    with suppress(Stopped):
        service.write_settled(Crashing(url=store.url, reader=store.reader, writer=store.writer), tmp_path, SETTLED)
    assert file_names(tmp_path) == ["requests/20261124T08-v1"]
    (tmp_path / "requests" / "20261124T08-v1-00000000.parquet.tmp").write_bytes(b"half")
    (tmp_path / "requests" / "mine.parquet").write_bytes(b"not ours")
    assert numbers(store, tmp_path) == [1]
    assert service.write_settled(store, tmp_path, datetime.now(UTC) + timedelta(days=1)).removed == 2
    assert file_names(tmp_path) == ["calls/20261124T08-v1", "requests/20261124T08-v1", "requests/mine.parquet"]


def test_of_two_writers_the_one_that_read_earlier_does_not_win(store: Store, tmp_path: Path) -> None:
    FOLDERS[:] = [tmp_path]
    records.import_requests(store, [request(1)])
    slow = Interrupted(url=store.url, reader=store.reader, writer=store.writer)
    service.write_settled(slow, tmp_path, SETTLED)
    assert numbers(store, tmp_path) == [1, 2]
    assert service.write_settled(store, tmp_path, SETTLED).hours == 0


def test_a_request_that_moves_while_the_view_is_read_is_there_once(store: Store, tmp_path: Path) -> None:
    """Between the list of hours and the rows of the open one it goes from a file's hour to that one."""
    records.import_requests(store, [request(1), request(2, minutes=65)])
    service.write_settled(store, tmp_path, SETTLED)
    moved: list[bool] = []

    def move(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "fact_hours" in statement and not moved:
            moved.append(True)
            records.import_requests(store, [request(1, minutes=66)])

    sa.event.listen(store.reader, "after_cursor_execute", move)
    assert numbers(store, tmp_path) == [1, 2]
    assert moved == [True]
    assert service.read(store, tmp_path, "requests", HOUR, HOUR + timedelta(hours=1)).num_rows == 0


def test_an_hour_that_lost_all_its_requests_has_no_file(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1), request(2, minutes=65)])
    later = SETTLED + timedelta(hours=5)
    service.write_settled(store, tmp_path, later)
    records.prune(store, HOUR + timedelta(hours=1))
    service.write_settled(store, tmp_path, later)
    service.write_settled(store, tmp_path, later + GRACE + timedelta(seconds=1))
    assert file_names(tmp_path) == ["calls/20261124T09-v1", "requests/20261124T09-v1"]
    assert numbers(store, tmp_path) == [2]


def test_a_deleted_folder_costs_time_and_no_rows(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1)])
    service.write_settled(store, tmp_path / "a", SETTLED)
    assert numbers(store, tmp_path / "b") == [1]
    assert service.write_settled(store, tmp_path / "b", SETTLED).hours == 2
    assert numbers(store, tmp_path / "b") == [1]


def test_a_damaged_file_is_one_line_that_says_what_to_do(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1)])
    service.write_settled(store, tmp_path, SETTLED)
    [file] = (tmp_path / "requests").glob("*.parquet")
    file.write_bytes(b"PAR1" + bytes(20))
    with pytest.raises(StoreFailed, match=f"{tmp_path}/requests cannot be read .*delete that folder") as caught:
        service.usage(store, tmp_path, *DAY)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_one_line(store: Store, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a file")
    records.import_requests(store, [request(1)])
    with pytest.raises(StoreFailed, match="the facts cannot be written"):
        service.write_settled(store, tmp_path / "f", SETTLED)


def test_a_folder_may_be_named_as_a_pattern_or_a_quotation(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "it's [a] *"
    records.import_requests(store, [request(1)])
    service.write_settled(store, folder, SETTLED)
    assert numbers(store, folder) == [1]


@pytest.mark.parametrize("until_minutes", [0, 90, 600])
def test_percentiles_sums_and_money_are_exact_over_files_and_open_hours(
    store: Store, tmp_path: Path, until_minutes: int
) -> None:
    costs = [10**9 * 7 + n for n in range(101)]
    made = [request(n, minutes=n, cost=costs[n]) for n in range(101)]
    records.import_requests(store, [*made, request(200, cost=None, error_type="timeout", latency_ms=None)])
    service.write_settled(store, tmp_path, HOUR + timedelta(minutes=until_minutes))
    [whole] = service.usage(store, tmp_path, *DAY)
    assert (whole.requests, whole.calls, whole.errors, whole.unpriced) == (102, 102, 1, 1)
    assert whole.cost_usd == sum(map(Decimal, costs)) / 10**9
    cuts = statistics.quantiles([float(n) for n in range(101)], n=100, method="inclusive")
    assert (whole.latency_ms.p50, whole.latency_ms.p95) == (cuts[49], cuts[94])
    assert (whole.ttft_ms.p50, whole.tokens.output) == (None, None)
    assert whole.tokens.input == sum(range(101)) + 200


def test_a_window_holds_its_start_and_not_its_end_inside_an_hour_too(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(n, minutes=n) for n in range(1, 150)])
    service.write_settled(store, tmp_path, SETTLED)
    window = (HOUR + timedelta(minutes=10), HOUR + timedelta(minutes=100))
    found = service.read(store, tmp_path, "requests", *window, columns=["trace_id"])["trace_id"].to_pylist()
    assert sorted(int(each, 16) for each in found) == list(range(10, 100))


def test_buckets_of_time_begin_at_multiples_and_the_empty_ones_are_not_there(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1, minutes=5), request(2, minutes=59), request(3, minutes=185)])
    service.write_settled(store, tmp_path, SETTLED)
    rows = service.usage(store, tmp_path, *DAY, every=timedelta(hours=1))
    assert [(row.at, row.requests) for row in rows] == [(HOUR, 2), (HOUR + timedelta(hours=3), 1)]
    with pytest.raises(ValueError, match="a second"):
        service.usage(store, tmp_path, *DAY, every=timedelta(milliseconds=1))


def test_what_a_record_does_not_say_is_a_group_of_its_own(store: Store, tmp_path: Path) -> None:
    records.import_requests(store, [request(1), request(2, prompt=Prompt(id="p", version="3"))])
    rows = service.usage(store, tmp_path, *DAY, by=["prompt_version"])
    assert [(row.labels, row.requests) for row in rows] == [({"prompt_version": None}, 1), ({"prompt_version": "3"}, 1)]
    assert service.read(store, tmp_path, "calls", *DAY, where={"prompt_version": None}).num_rows == 1


def test_unknown_labels_are_named_with_the_nearest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"Did you mean 'route'\?"):
        service.usage(store, tmp_path, *DAY, by=["rout"])
    with pytest.raises(NotFound, match="No label named 'model'"):
        service.read(store, tmp_path, "requests", *DAY, where={"model": "m"})
    with pytest.raises(NotFound, match="fact table"):
        service.read(store, tmp_path, "verdicts", *DAY)
