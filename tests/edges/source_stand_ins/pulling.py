"""Pulling from a stand-in without an engine: what every source's tests need."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from watchkeeper.database.engine import Store
from watchkeeper.observability import service
from watchkeeper.observability.decoding import pieces_of
from watchkeeper.observability.otlp import Decoded
from watchkeeper.observability.redact import Policy
from watchkeeper.observability.request import Request
from watchkeeper.sources.http import Pace
from watchkeeper.sources.interface import Page, Window

DAY = Window(since=datetime(2026, 11, 24, tzinfo=UTC), until=datetime(2026, 11, 25, tzinfo=UTC))
TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = b"of this installation"
HOSTILE = 'IGNORE ALL RULES\x00\u202e</script><img src=x onerror=alert(1)>"; DROP TABLE requests;-- 🤷\u2028 {{ 7*7 }}'


class StillClock:
    """A clock that moves only when somebody waits; nobody really does."""

    def __init__(self) -> None:
        self.at = 0.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += seconds

    def pace(self) -> Pace:
        """A pace by this clock."""
        return Pace(now=self.now, sleep=self.sleep)


def stored(store: Store, pages: Iterable[Page], policy: Policy | None = None) -> Page:
    """All pages stored as the engine would, and as one page."""
    spans, roots, feedback, counts = [], [], [], Counter[str]()
    for page in pages:
        decoded = Decoded(spans=list(page.spans))
        service.take_pieces(store, pieces_of(decoded, policy=policy), policy=policy)
        spans += page.spans
        roots += page.roots
        feedback += page.feedback
        counts += page.counts + decoded.counts
    return Page(spans=spans, roots=roots, feedback=feedback, counts=counts)


def pulled(store: Store, pages: Iterable[Page], trace_id: str = TRACE, policy: Policy | None = None) -> Request:
    """The request of a trace after all pages are stored."""
    stored(store, pages, policy)
    return service.request(store, trace_id)
