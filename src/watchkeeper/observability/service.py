"""Load and save requests: what the command line, the pages and the flows call."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from watchkeeper.database.engine import Store
from watchkeeper.foundation.clock import as_utc, format_time
from watchkeeper.foundation.errors import NotFound
from watchkeeper.foundation.ids import content_hash
from watchkeeper.observability.assembly import requests_of as put_together
from watchkeeper.observability.packing import Texts
from watchkeeper.observability.pieces import Piece, keys_of, merged_pieces, unpacked
from watchkeeper.observability.pieces import packed as pack_piece
from watchkeeper.observability.private_spans import content_of, hidden, hides, private_feedback
from watchkeeper.observability.redact import Policy, private
from watchkeeper.observability.request import Feedback, Request
from watchkeeper.observability.steps import Step, steps_of
from watchkeeper.observability.store import dropped, posted, pruning, requests, statements, traces
from watchkeeper.observability.store import totals as sums
from watchkeeper.observability.totals import Totals

_WRITTEN_TOGETHER = 500
_READ_TOGETHER = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What the store holds. `newest` is when the newest request started, None when there is none."""

    total: int
    newest: datetime | None


def import_requests(opened: Store, given: Iterable[Request], *, policy: Policy | None = None) -> int:
    """Store requests; one that is known already is replaced wholly, so that a repetition changes nothing.

    Args:
        policy: What is taken out before anything is stored; None stores them as they are.

    Returns:
        How many were taken, repetitions included. All of them are committed.

    Raises:
        StoreFailed: If the store fails; the batches before it stay, and the same import may be run again.
    """
    taken = 0
    waiting = iter(given if policy is None else (private(each, policy) for each in given))
    while batch := list(islice(waiting, _WRITTEN_TOGETHER)):
        with opened.write() as session:
            requests.save(session, batch)
        taken += len(batch)
    return taken


def take_pieces(
    opened: Store,
    pieces: Iterable[Piece],
    counts: Mapping[str, int] | None = None,
    *,
    now: datetime | None = None,
    policy: Policy | None = None,
) -> int:
    """Store spans and bring their requests up to date, all in one transaction; a repetition changes nothing.

    Of one span in two forms the one that ends later counts, then the larger: in whatever order they come.

    Args:
        counts: What was dropped, mended or refused, by name, to be added to those of the day of `now`.
        now: Goes with `counts`.
        policy: How much is kept of the texts of which route; None keeps all. The pieces are masked already.

    Returns:
        How many traces were touched. All of it is committed.

    Raises:
        StoreFailed: If the store fails; nothing of it is stored, and the same call may be made again.
    """
    touched: dict[str, list[Piece]] = {}
    for piece in pieces:
        touched.setdefault(piece.trace_id, []).append(piece)
    if not touched and not counts:
        return 0
    with opened.write() as session:
        seen = Counter(counts or {})
        if not touched:
            _count(session, seen, now)
            return 0
        statements.one_ingest_at_a_time(session)
        known = traces.stored_spans(session, sorted(touched))
        texts = requests.texts_of(session, {key for rows in known.values() for row in rows for key in keys_of(row)})
        kept = Texts(texts)
        packed: dict[str, list[list[Any]]] = {}
        made: list[Request] = []
        for trace_id, new in touched.items():
            before = known.get(trace_id)
            if policy is not None and hides(policy):
                new, before = _hidden(trace_id, new, before, texts, kept, policy, seen)
            if before is None and len(new) == 1:
                packed[trace_id] = [pack_piece(new[0], kept.keep)]
                made += put_together(new)
                continue
            merged = merged_pieces(before or [], new, kept.keep)
            packed[trace_id] = [row for row, _ in merged]
            made += put_together(piece or unpacked(trace_id, row, texts) for row, piece in merged)
        traces.save_traces(session, packed, made, kept)
        _count(session, seen, now)
    return len(touched)


def _hidden(
    trace_id: str,
    new: list[Piece],
    before: list[list[Any]] | None,
    texts: dict[str, str],
    kept: Texts,
    policy: Policy,
    seen: Counter[str],
) -> tuple[list[Piece], list[list[Any]] | None]:
    """The pieces of a trace with so much of their texts as its route lets stay; what is stored of it already, too."""
    old = [unpacked(trace_id, row, texts) for row in before or ()]
    latest = {piece.key: piece for piece in (*old, *new)}
    routes = [each.route for each in put_together(latest.values())]
    content, known = content_of(list(latest.values()), routes, policy)
    if content == "full":
        return new, before
    made = [hidden(piece, content, policy) for piece in new]
    if not known and (lost := sum("content_kept" in piece.facts.get("own", {}) for piece in made)):
        seen["text withheld: route not known"] += lost
    if before is not None:
        before = [pack_piece(hidden(piece, content, policy), kept.keep) for piece in old]
        texts.update(kept.new)
    return made, before


def _count(session: Any, seen: Counter[str], now: datetime | None) -> None:
    if seen and now is not None:
        dropped.add_counts(session, _day(now), seen)


def intake_counts(opened: Store, since: datetime) -> dict[str, int]:
    """What was dropped, mended or refused on the way in since the day (UTC) of a time: name -> how often.

    The names stand in docs/records.md; what never happened is not in it.
    """
    with opened.read() as session:
        return dropped.counts_since(session, _day(since))


def _day(at: datetime) -> str:
    return as_utc(at).date().isoformat()


def request(opened: Store, trace_id: str) -> Request:
    """The request of a trace; the oldest one where a trace has several.

    Raises:
        NotFound: If there is none.
    """
    wanted = trace_id.strip().lower()
    with opened.read() as session:
        found = requests.requests_of_trace(session, wanted)
        known = [] if found else requests.newest_trace_ids(session, limit=5)
    if not found:
        raise NotFound("request", trace_id[:64], known)
    return found[0]


def requests_of(opened: Store, keys: Collection[tuple[str, str]]) -> list[Request]:
    """The requests of these (trace id, span id); those that are not stored any more are left out."""
    with opened.read() as session:
        return requests.requests_of_keys(session, keys)


def requests_of_trace(opened: Store, trace_id: str) -> list[Request]:
    """Every request of a trace, oldest first; none where nothing of it is known."""
    with opened.read() as session:
        return requests.requests_of_trace(session, trace_id.strip().lower())


def export_requests(
    opened: Store, since: datetime | None = None, until: datetime | None = None, route: str | None = None
) -> Iterator[Request]:
    """The requests of [since, until), oldest first; None is without that limit.

    Read in pages: no more than one page is in memory, and no transaction stays open between them.
    """
    after = None
    while True:
        with opened.read() as session:
            found = requests.page(session, since=since, until=until, route=route, after=after, limit=_READ_TOGETHER)
        yield from found
        if len(found) < _READ_TOGETHER:
            return
        after = (found[-1].started_at, found[-1].trace_id, found[-1].span_id)


def prune(opened: Store, before: datetime) -> tuple[int, int]:
    """Delete the requests that started before a time, and then the texts nothing points at any more.

    Returns:
        Requests and texts deleted. In several transactions: one that is cut short is simply run again.

    Raises:
        StoreFailed: If the store fails.
    """
    pruned = 0
    while True:
        with opened.write() as session:
            removed = pruning.remove_before(session, before, limit=_WRITTEN_TOGETHER)
        pruned += removed
        if removed < _WRITTEN_TOGETHER:
            break
    with opened.write() as session:
        return pruned, pruning.remove_orphans(session, before)


def count_before(opened: Store, before: datetime) -> int:
    """How many requests `prune` would delete."""
    with opened.read() as session:
        return requests.count_before(session, before)


def why(opened: Store, trace_id: str) -> list[Step]:
    """How far a trace has come: received, put together, priced.

    Raises:
        NotFound: If nothing of it is known.
    """
    wanted = trace_id.strip().lower()
    with opened.read() as session:
        rows = traces.stored_spans(session, [wanted]).get(wanted)
        found = requests.requests_of_trace(session, wanted)
        prices = requests.price_ids(session, wanted)
        known = [] if rows or found else requests.newest_trace_ids(session, limit=5)
    if not rows and not found:
        raise NotFound("request", trace_id[:64], known)
    return steps_of(rows, found, prices)


def stock(opened: Store) -> Stock:
    """How many requests there are and how fresh they are."""
    with opened.read() as session:
        return Stock(total=requests.count(session), newest=requests.newest_at(session))


def totals(opened: Store, since: datetime) -> Totals:
    """What happened since a time, added up by the database."""
    with opened.read() as session:
        return Totals(
            requests=sums.request_groups(session, since),
            calls=sums.call_groups(session, since),
            newest=requests.newest_at(session),
        )


def feedback(opened: Store, trace_id: str, said: Feedback, *, now: datetime, policy: Policy | None = None) -> None:
    """Store what a user said about an answer, perhaps before the request itself has come; committed on return.

    The same words about the same trace are one feedback, however often they are sent.
    """
    if policy is not None:
        routes: list[str] = []
        if hides(policy):
            with opened.read() as session:
                routes = [each.route for each in requests.requests_of_trace(session, trace_id)]
        said = private_feedback(said, routes, policy)
    at = None if said.at is None else format_time(said.at)
    key = content_hash([trace_id, said.kind, said.value, said.comment, at]).removeprefix("sha256:")
    with opened.write() as session:
        posted.add_feedback(session, key, trace_id, said, now=now)


def resolve(opened: Store, job_id: str, *, resolved: bool, at: datetime) -> None:
    """Store whether a job was resolved; of two words the later counts, in whatever order they come."""
    with opened.write() as session:
        posted.set_resolution(session, job_id, resolved=resolved, at=at)


def resolution(opened: Store, job_id: str) -> bool | None:
    """Whether a job was resolved; None while nobody said."""
    with opened.read() as session:
        found = posted.resolution(session, job_id)
    return None if found is None else found[0]
