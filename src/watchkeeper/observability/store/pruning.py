"""What is deleted with old requests, and the texts nothing points at any more."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from watchkeeper.observability import packing, rows, tables
from watchkeeper.observability.pieces import keys_of
from watchkeeper.observability.store.requests import delete_children
from watchkeeper.observability.store.statements import AT_ONCE, delete, one_ingest_at_a_time, slices
from watchkeeper.observability.store.touched import touch

_META = tables.Request.metadata.tables
_REQUESTS, _TEXTS, _TRACES, _CALLS = _META["requests"], _META["texts"], _META["traces"], _META["calls"]


def remove_before(session: Session, before: datetime, *, limit: int) -> int:
    """Delete the oldest requests that started before a time, with all inside them; how many it were, at most `limit`.

    The spans of a trace go with its last request.
    """
    one_ingest_at_a_time(session)
    c = _REQUESTS.c
    query = sa.select(c.trace_id, c.span_id, c.started_at).where(c.started_at < before)
    found = session.execute(query.order_by(c.started_at).limit(limit)).all()
    keys = [(row[0], row[1]) for row in found]
    delete_children(session, keys, rows.CHILDREN)
    delete(session, "requests", ("trace_id", "span_id"), keys)
    traces = sorted({trace_id for trace_id, _ in keys})
    left: set[str] = set()
    for some in slices(traces):
        left.update(session.execute(sa.select(c.trace_id).where(c.trace_id.in_(some))).scalars())
    gone = [(trace_id,) for trace_id in traces if trace_id not in left]
    delete(session, "traces", ("trace_id",), gone)
    delete(session, "posted_feedback", ("trace_id",), gone)
    touch(session, (row[2] for row in found))
    return len(keys)


def remove_orphans(session: Session, before: datetime) -> int:
    """Delete texts nothing points at, and spans that never became a request; how many texts it were."""
    one_ingest_at_a_time(session)
    used: set[str | None] = set()
    query = sa.select(_REQUESTS.c.input_hash, _REQUESTS.c.response_hash)
    for row in session.execute(query.execution_options(yield_per=AT_ONCE)):
        used.update(row)
    query_calls = sa.select(_CALLS.c.response_hash, _CALLS.c.message_hashes)
    for response, messages in session.execute(query_calls.execution_options(yield_per=AT_ONCE)):
        used.add(response)
        used.update(each.partition(":")[0] for each in messages)
    used.update(session.execute(sa.select(_META["tool_calls"].c.result_hash)).scalars())
    last_ns, stale = int(before.timestamp()) * 10**9, []
    with_request = sa.exists().where(_REQUESTS.c.trace_id == _TRACES.c.trace_id)
    query_traces = sa.select(_TRACES.c.trace_id, _TRACES.c.spans, with_request)
    for trace_id, blob, has_request in session.execute(query_traces.execution_options(yield_per=AT_ONCE)):
        packed = packing.read_value(blob)
        if not has_request and all(row[5] < last_ns for row in packed):
            stale.append((trace_id,))
        else:
            used.update(key for row in packed for key in keys_of(row))
    delete(session, "traces", ("trace_id",), stale)
    orphans = [(key,) for key in session.execute(sa.select(_TEXTS.c.hash)).scalars() if key not in used]
    delete(session, "texts", ("hash",), orphans)
    return len(orphans)
