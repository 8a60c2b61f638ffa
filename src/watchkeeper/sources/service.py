"""Pull requests from a source, push scores back to it: what the command line, the pages and the flows call."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from watchkeeper.database.engine import Store
from watchkeeper.foundation.clock import Clock
from watchkeeper.foundation.errors import Conflict, Misconfigured, WatchkeeperError
from watchkeeper.foundation.lease import is_gone, new_owner
from watchkeeper.observability import service as observability
from watchkeeper.observability.decoding import pieces_of
from watchkeeper.observability.otlp import Decoded, Span
from watchkeeper.observability.redact import Policy
from watchkeeper.sources import store
from watchkeeper.sources.http import Gone, SourceFailed
from watchkeeper.sources.interface import Page, Remote, Score, Scored, Source, Window
from watchkeeper.sources.pull import PullPlan, moved, pull_window, slices
from watchkeeper.sources.store import Watermark as Watermark

PULLED_FROM = "pulled_from"
"""The request's attribute that names the source it was pulled from; `source` keeps saying what traffic it was."""

_SILENCE = timedelta(minutes=15)
"""How long a pull of another machine must be silent before it is taken over: longer than all tries of one page."""


@dataclass(slots=True, kw_only=True)
class Pulled:
    """What one pull brought; what was known before is counted too, for it was read again.

    Attributes:
        since, until: What was read, [since, until); None when there was nothing to read yet.
        requests: Traces that were touched.
        counts: What could not be taken, by name.
    """

    source: str
    since: datetime | None = None
    until: datetime | None = None
    pages: int = 0
    spans: int = 0
    requests: int = 0
    feedback: int = 0
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """How many scores the source has now, and the places in the given ones that it does not know."""

    pushed: int
    unknown: Sequence[int]


def pull(
    opened: Store,
    name: str,
    connect: Callable[[], Source],
    *,
    plan: PullPlan,
    clock: Clock,
    since: datetime | None = None,
    policy: Policy | None = None,
) -> Pulled:
    """Store what a source recorded since the last pull, and a little before that for what came late.

    Page by page, each committed by itself; the watermark moves after each whole slice. A pull that is cut short
    begins its slice again and doubles nothing. A failure is kept beside the watermark, then raised.

    Args:
        since: Begin there, whatever the watermark says.
        policy: What is taken out before anything is stored; None stores it as it is.

    Raises:
        Conflict: If another pull of this source is under way.
        SourceFailed: If the source did not answer usefully; it may be pulled again.
        Misconfigured: If a person must change its section.
        StoreFailed: If the store fails.
    """
    with _held(opened, name, clock) as (owner, before):
        done = Pulled(source=name)
        window = pull_window(before.pulled_until, plan, now=clock.now(), since=since)
        if window is not None:
            done.since = window.since
            source, traces = connect(), set[str]()
            for part in slices(window):
                for page in source.pages(part):
                    _take(opened, name, page, done, traces, now=clock.now(), policy=policy)
                    _alive(opened, name, owner, now=clock.now())
                _alive(opened, name, owner, now=clock.now(), read=part)
                done.until = part.until
        return done


def failed(opened: Store, name: str, error: WatchkeeperError, *, now: datetime) -> None:
    """Keep that a source could not be pulled, and why; what was read before stays."""
    with opened.write() as session:
        store.save_watermark(session, _failed(store.watermark(session, name), error, now))


def watermarks(opened: Store) -> dict[str, Watermark]:
    """How far every source was read that was ever pulled, by name."""
    with opened.read() as session:
        return {mark.source: mark for mark in store.watermarks(session)}


def remote_of(opened: Store, trace_id: str) -> list[tuple[str, Remote]]:
    """Where a request was pulled from and what it is called there; [] when it came by itself."""
    with opened.read() as session:
        return store.remote_of_trace(session, trace_id)


def push(opened: Store, name: str, source: Source, scores: Sequence[Scored]) -> Pushed:
    """Leave scores at the source their requests came from; the same scores again change nothing.

    Raises:
        SourceFailed: If the source did not take them; some may be there already, the same call may be made again.
        Misconfigured: If it refused them.
    """
    known, unknown = list[Score](), list[int]()
    with opened.read() as session:
        for place, each in enumerate(scores):
            found = [remote for _, remote in store.remote_of_trace(session, each.trace_id, source=name)]
            remote = next((r for r in found if each.span_id in (None, r.span_id)), None)
            if remote is None:
                unknown.append(place)
                continue
            known.append(
                Score(
                    remote=remote,
                    name=each.name,
                    value=each.value,
                    label=each.label,
                    explanation=each.explanation,
                    by=each.by,
                )
            )
    with _one_of_our_errors(name):
        if known:
            source.push(known)
    return Pushed(pushed=len(known), unknown=unknown)


def tidy(opened: Store) -> None:
    """Forget what sources call requests that are no longer stored."""
    with opened.write() as session:
        store.remove_of_gone_requests(session)


def _take(
    opened: Store,
    name: str,
    page: Page,
    done: Pulled,
    traces: set[str],
    *,
    now: datetime,
    policy: Policy | None,
) -> None:
    decoded = Decoded(spans=[_marked(span, name) for span in page.spans])
    pieces = pieces_of(decoded, policy=policy, now=now)
    observability.take_pieces(opened, pieces, decoded.counts, now=now, policy=policy)
    with opened.write() as session:
        store.save_remote(session, name, page.roots)
    for said in page.feedback:
        observability.feedback(opened, said.trace_id, said.feedback, now=now, policy=policy)
    traces.update(span.trace_id for span in page.spans)
    done.pages += 1
    done.spans += len(page.spans) - decoded.rejected
    done.requests = len(traces)
    done.feedback += len(page.feedback)
    done.counts += page.counts + decoded.counts


def _marked(span: Span, name: str) -> Span:
    # On every span: which one becomes the request is decided when all of them are known.
    return span._replace(attributes={**span.attributes, f"watchkeeper.attribute.{PULLED_FROM}": name})


@contextmanager
def _held(opened: Store, name: str, clock: Clock) -> Iterator[tuple[str, Watermark]]:
    """Hold a source for one pull; how it ended is written down when it is let go."""
    owner = new_owner()
    before = _claimed(opened, name, owner, now=clock.now())
    try:
        with _one_of_our_errors(name):
            yield owner, before
    except WatchkeeperError as error:
        failure, at = error, clock.now()
        _let_go(opened, name, owner, lambda mark: _failed(mark, failure, at))
        raise
    except BaseException:
        _let_go(opened, name, owner, lambda mark: mark)
        raise
    else:
        now = clock.now()
        _let_go(
            opened,
            name,
            owner,
            lambda mark: replace(mark, pulled_at=now, failed_at=None, failing_since=None, error=None),
        )


def _claimed(opened: Store, name: str, owner: str, *, now: datetime) -> Watermark:
    busy = f"source {name!r} is being pulled at the moment; wait for it, or end it"
    try:
        with opened.write() as session:
            before = store.watermark(session, name)
            if not _is_free(before, now):
                raise Conflict(busy)
            store.save_watermark(session, replace(before, owner=owner, seen_at=now))
            return before
    except Conflict:  # also of two first pulls at once: the database lets one of them have the row
        raise Conflict(busy) from None


def _alive(opened: Store, name: str, owner: str, *, now: datetime, read: Window | None = None) -> None:
    """Say that a pull goes on, and what it has read to the end.

    Raises:
        Conflict: If somebody else has taken it over.
    """
    with opened.write() as session:
        mark = store.watermark(session, name)
        if mark.owner != owner:
            raise Conflict(f"source {name!r} was taken over by another pull; this one ends")
        until = mark.pulled_until if read is None else moved(mark.pulled_until, read, now=now)
        store.save_watermark(session, replace(mark, seen_at=now, pulled_until=until))


def _let_go(opened: Store, name: str, owner: str, change: Callable[[Watermark], Watermark]) -> None:
    """End our hold with a last change; what somebody else has taken over is theirs to write."""
    with opened.write() as session:
        mark = store.watermark(session, name)
        if mark.owner == owner:
            store.save_watermark(session, replace(change(mark), owner=None, seen_at=None))


@contextmanager
def _one_of_our_errors(name: str) -> Iterator[None]:
    try:
        yield
    except Gone as error:
        raise Misconfigured(
            f"sources.{name}.base_url: the endpoint is not there ({error}); is it the API's own address, "
            "and is the server new enough?"
        ) from None
    except WatchkeeperError:
        raise
    except Exception as error:
        # Whatever a stranger's answer can do to an adapter: the other sources are pulled.
        raise SourceFailed(f"{name}: unexpected {type(error).__name__} in what the source answered") from error


def _is_free(mark: Watermark, now: datetime) -> bool:
    if mark.owner is None or mark.seen_at is None or is_gone(mark.owner):
        return True
    return abs(now - mark.seen_at) > _SILENCE  # abs: a clock that was put back


def _failed(mark: Watermark, error: WatchkeeperError, now: datetime) -> Watermark:
    since = mark.failing_since if mark.failing_since is not None and mark.failing_since <= now else now
    return replace(mark, failed_at=now, failing_since=since, error=" ".join(str(error).split())[:500])
