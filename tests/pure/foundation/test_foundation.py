"""Errors, time, money and ids."""

import gzip
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.foundation import errors
from watchkeeper.foundation.clock import as_utc, format_time, parse_time
from watchkeeper.foundation.errors import Misconfigured
from watchkeeper.foundation.ids import content_hash, new_id
from watchkeeper.foundation.json_lines import json_lines
from watchkeeper.foundation.money import nano_usd, show_usd, total, usd


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    drawn = {
        line.split()[1]: int(line.split()[-1])
        for line in (errors.__doc__ or "").splitlines()
        if line.strip().startswith("x ")
    }
    coded = {
        kind.__name__: kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.WatchkeeperError) and kind is not errors.WatchkeeperError
    }
    assert drawn == coded


def test_a_mistyped_name_gets_the_nearest_ones() -> None:
    with pytest.raises(errors.NotFound) as caught:
        raise errors.NotFound("suite", "refund", ["refunds", "smoke"], where="in suites/")
    assert str(caught.value) == "No suite named 'refund' in suites/. Did you mean 'refunds'?"


def test_a_name_near_nothing_gets_what_there_is() -> None:
    assert str(errors.NotFound("suite", "zzz", ["b", "a"])) == "No suite named 'zzz'. Known: a, b."
    assert str(errors.NotFound("suite", "zzz", [])) == "No suite named 'zzz'. There are none."


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        as_utc(datetime(2026, 11, 24))  # noqa: DTZ001
    with pytest.raises(ValueError, match="without a zone"):
        parse_time("2026-11-24T10:00:00")


def test_times_are_kept_in_utc_and_written_with_z() -> None:
    berlin = datetime(2026, 11, 24, 11, tzinfo=timezone(timedelta(hours=1)))
    assert as_utc(berlin) == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert format_time(berlin) == "2026-11-24T10:00:00.000Z"
    assert parse_time("2026-11-24T10:00:00.123Z").microsecond == 123_000


@given(st.integers(0, 10**15))
def test_money_survives_the_way_to_dollars_and_back(nano: int) -> None:
    assert nano_usd(usd(nano)) == nano


@pytest.mark.parametrize(
    ("dollars", "nano"), [(0.0219, 21_900_000), ("0.000000001", 1), (Decimal("1.5"), 1_500_000_000)]
)
def test_a_cost_is_exact(dollars: float | str | Decimal, nano: int) -> None:
    assert nano_usd(dollars) == nano


@pytest.mark.parametrize("amount", [-0.01, float("nan"), float("inf")])
def test_an_amount_that_is_none_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="finite and >= 0"):
        nano_usd(amount)


def test_an_unknown_cost_is_never_zero() -> None:
    assert total([None, None]) is None
    assert total([None, 5]) == 5
    assert show_usd(None) == "unpriced"


def test_equal_content_has_equal_hashes_whatever_the_order_of_keys() -> None:
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": "1"})
    assert content_hash("\ud800").startswith("sha256:")  # a lone surrogate from a model does not stop us


def test_ids_are_unique() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000


def test_a_line_separator_inside_a_json_text_ends_no_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('\ufeff{"a": "one\u2028two\x85three"}\n\n{"a": 2}\n', "utf-8")
    assert list(json_lines(tmp_path / "rows.jsonl")) == [(1, {"a": "one\u2028two\x85three"}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1}\n{"a": NaN}', "rows.jsonl:2: not JSON: NaN is no JSON value"),
        (b'{"a": "\xff"}', "rows.jsonl: not UTF-8 at byte 7"),
        (b"[" * 100_000, "rows.jsonl:1: not JSON"),
    ],
)
def test_a_line_that_is_not_json_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(Misconfigured, match=re.escape(said)):
        list(json_lines(tmp_path / "rows.jsonl"))


def test_a_broken_archive_is_one_line(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"a": 1}\n' * 1000)
    for broken in (whole[: len(whole) // 2], b"no archive", whole[:20] + b"\x00" * 9 + whole[29:]):
        (tmp_path / "rows.jsonl.gz").write_bytes(broken)
        with pytest.raises(Misconfigured, match="cannot be read"):
            list(json_lines(tmp_path / "rows.jsonl.gz"))
