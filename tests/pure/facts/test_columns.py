"""What fact tables hold, and what they must never hold."""

import pyarrow as pa
import pytest

from watchkeeper.facts.columns import FACTS, fact_table, schema
from watchkeeper.foundation.errors import NotFound


def test_facts_hold_no_text_and_no_user() -> None:
    names = {column.name for table in FACTS.values() for column in table.columns}
    assert not {
        name for name in names if any(word in name for word in ("hash", "input_", "response", "message", "user"))
    }
    assert not names & {"input", "attributes", "params", "comment", "more"}


def test_the_first_column_is_the_time_and_money_is_whole() -> None:
    for table in FACTS.values():
        found = schema(table.columns)
        assert found.field(0) == pa.field("started_at", pa.timestamp("us", tz="UTC"))
        assert found.field("cost_nano_usd").type == pa.int64()


def test_columns_come_in_the_order_they_were_asked_for() -> None:
    assert [column.name for column in FACTS["calls"].pick(["model", "route"])] == ["model", "route"]


def test_a_trace_id_leads_back_and_is_no_label() -> None:
    for table in FACTS.values():
        assert "trace_id" not in table.labels
        assert {"route", "session_id", "job_id"} <= set(table.labels)


def test_what_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"No fact table named 'call'. Did you mean 'calls'\?"):
        fact_table("call")
    with pytest.raises(NotFound, match=r"No column named 'latency' in the facts of calls"):
        FACTS["calls"].pick(["latency"])
