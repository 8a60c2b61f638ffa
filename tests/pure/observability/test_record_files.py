"""Files of requests: what is written is read back exactly, and a manifest tells a whole file from a damaged one."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.pure.observability.test_wire import FULL, TRACE

from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.observability import record_files
from watchkeeper.observability.manifest import Origin, manifest_of
from watchkeeper.observability.record_files import Format, check_manifest, read_requests, write_requests
from watchkeeper.observability.request import Request
from watchkeeper.observability.wire import BadLine, request_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
ORIGIN = Origin(store="sqlite", exported_at=NOW)
FORMS: list[tuple[str, Format]] = [("out.jsonl", "jsonl"), ("out.jsonl.gz", "jsonl"), ("out.parquet", "parquet")]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
DURATIONS = st.none() | st.floats(0, 1e9)
RECORDS = st.fixed_dictionaries(
    {
        "trace_id": st.integers(1, 2**128 - 1).map(lambda n: f"{n:032x}"),
        "started_at": st.integers(0, 4 * 10**15).map(lambda us: (EPOCH + timedelta(microseconds=us)).isoformat()),
        "route": st.text(min_size=1, max_size=20),
        "input": st.none() | st.text(),
        "response": st.none() | st.text(),
        "ttft_ms": DURATIONS,
        "latency_ms": DURATIONS,
        "prompt": st.none() | st.just({"id": "answer", "version": "12"}),
        "calls": st.lists(st.fixed_dictionaries({"params": st.dictionaries(st.text(), JSON, max_size=2)}), max_size=2),
        "tool_calls": st.lists(st.fixed_dictionaries({"arguments": JSON, "result": JSON}), max_size=2),
        "attributes": st.dictionaries(st.text(), JSON, max_size=3),
    }
)


def requests(count: int, **changes: Any) -> list[Request]:
    return [
        request_of({**FULL, "trace_id": f"{n:032x}", "started_at": f"2026-11-24T10:00:{n % 60:02d}.5Z", **changes})
        for n in range(1, count + 1)
    ]


def manifest(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest_of(path).read_text())
    return found


@pytest.mark.parametrize(("name", "form"), FORMS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(raw=st.lists(RECORDS, min_size=1, max_size=4))
def test_what_is_written_is_read_back_equal(tmp_path: Path, name: str, form: Format, raw: list[dict[str, Any]]) -> None:
    given = [request_of(each) for each in raw]
    path = tmp_path / name
    assert write_requests(path, given, form=form, origin=ORIGIN) == len(given)
    assert check_manifest(path)
    assert list(read_requests(path)) == list(enumerate(given, 1))


def test_the_rows_of_several_batches_are_read_in_order(tmp_path: Path) -> None:
    given = requests(2500)
    write_requests(tmp_path / "x", given, form="parquet", origin=ORIGIN)
    assert [found for _, found in read_requests(tmp_path / "x")] == given


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_a_manifest_says_what_the_file_holds_and_where_it_came_from(tmp_path: Path, name: str, form: Format) -> None:
    path = tmp_path / name
    origin = Origin(since=NOW, until=None, route="support.answer", store="postgresql", exported_at=NOW)
    write_requests(path, requests(3), form=form, origin=origin)
    said = manifest(path)
    schema = said.pop("schema")
    raw = path.read_bytes()
    assert said == {
        "manifest": 1,
        "format": form,
        "compression": "gzip" if name.endswith(".gz") else None,
        "count": 3,
        "bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "filters": {"since": "2026-11-25T09:00:00Z", "until": None, "route": "support.answer"},
        "oldest_started_at": "2026-11-24T10:00:01.500Z",
        "newest_started_at": "2026-11-24T10:00:03.500Z",
        "exported_at": "2026-11-25T09:00:00Z",
        "store": "postgresql",
        "watchkeeper": "0.1.0",
    }
    assert (schema["shape"], schema["version"]) == ("request", 1)
    if form == "parquet":
        types = {column["name"]: column["type"] for column in schema["columns"]}
        assert list(types) == list(Request.__dataclass_fields__)
        assert (types["started_at"], types["latency_ms"], types["calls"]) == (
            "timestamp[us, tz=UTC]", "double", "string"
        )  # fmt: skip


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_a_byte_changed_or_lost_is_noticed(tmp_path: Path, name: str, form: Format) -> None:
    path = tmp_path / name
    write_requests(path, requests(3), form=form, origin=ORIGIN)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(Misconfigured, match=rf"{name}: has \d+ bytes, its manifest says \d+; .*--ignore-manifest"):
        check_manifest(path)
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    with pytest.raises(Misconfigured, match="was damaged or changed, its SHA-256 is not its manifest's"):
        check_manifest(path)
    path.write_bytes(whole)
    assert check_manifest(path)


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_another_number_of_requests_than_stated_is_noticed(tmp_path: Path, name: str, form: Format) -> None:
    path = tmp_path / name
    write_requests(path, requests(3), form=form, origin=ORIGIN)
    manifest_of(path).write_text(json.dumps({**manifest(path), "count": 4}))
    with pytest.raises(Misconfigured, match="holds 3 requests, its manifest says 4"):
        check_manifest(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"manifest": 2, "count": 1, "bytes": 1, "sha256": "a"}', "[" * 99_999]
)
def test_a_manifest_that_cannot_be_understood_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("{}")
    manifest_of(path).write_text(text)
    with pytest.raises(Misconfigured, match=r"is no manifest of version 1; .*--ignore-manifest"):
        check_manifest(path)


def test_a_file_without_a_manifest_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("{}")
    assert not check_manifest(path)


class DiskFull(OSError):
    """What a test makes the disk say."""


@pytest.mark.parametrize("broken", ["_line", "manifest"])
def test_an_export_that_fails_leaves_the_old_file_and_its_old_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "out.jsonl"
    write_requests(path, requests(1), form="jsonl", origin=ORIGIN)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def fail(*args: Any, **more: Any) -> bytes:
        raise DiskFull

    monkeypatch.setattr(record_files, broken, fail)
    with pytest.raises(DiskFull):
        write_requests(path, requests(2), form="jsonl", origin=ORIGIN)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_killed_between_the_two_renames_a_file_has_no_manifest_but_never_a_wrong_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    write_requests(path, requests(1), form="jsonl", origin=ORIGIN)
    rename, seen = Path.replace, []

    def watched(self: Path, target: Path) -> Path:
        seen.append(sorted(each.name for each in tmp_path.iterdir() if not each.name.startswith(".")))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_requests(path, requests(2), form="jsonl", origin=ORIGIN)
    assert seen == [["out.jsonl"], ["out.jsonl"]]
    assert check_manifest(path)


def test_a_bad_row_of_a_parquet_file_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    rows = [
        {"trace_id": TRACE, "started_at": NOW, "route": "a", "calls": "{broken", "shard": 7},
        {"trace_id": TRACE, "started_at": NOW, "route": None, "calls": None, "shard": 8},
        {"trace_id": TRACE, "started_at": NOW, "route": "a", "calls": None, "shard": 9},
    ]
    path = tmp_path / "theirs.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    first, second, third = (found for _, found in read_requests(path))
    assert isinstance(first, BadLine)
    assert (first.field, json.loads(first.raw)["calls"]) == ("calls", "{broken")
    assert isinstance(second, BadLine)
    assert (second.field, json.loads(second.raw)["started_at"]) == ("route", "2026-11-25T09:00:00Z")
    assert isinstance(third, Request)
    assert third.attributes == {"shard": 9}


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all"])
def test_a_damaged_parquet_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(content)
    with pytest.raises(Misconfigured, match=r"bad\.parquet: is no Parquet file, or a damaged one"):
        list(read_requests(path))
