"""GET /metrics for Prometheus, read from the store at each scrape.

Everything about requests is a gauge over the last hour, and named so. Counters of them would have to grow for ever, but
records are pruned, come late, and change their route when their root arrives; a restart would lose what a process
had counted. Names from outside become labels only while they are few: the most frequent keep theirs, the others
are `other`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import watchkeeper
from watchkeeper.app import App
from watchkeeper.incidents import service as incidents
from watchkeeper.observability import service as observability
from watchkeeper.observability.totals import BOUNDARIES_S, OTHER, RequestGroup, Totals, most_frequent
from watchkeeper.scoring import service as scoring
from watchkeeper.scoring.funnel import STAGES, Funnel, summed

router = APIRouter()

WINDOW = timedelta(hours=1)
FUNNEL_WINDOW = timedelta(days=1)
MOST_NAMES = 50
"""Label values of one kind (routes, models, errors), `other` not counted."""

_UNKNOWN = "unknown"
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_NANO = 10**9


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """The state of this installation, in the text format or, where it is asked for, as OpenMetrics."""
    opened: App = request.app.state.watchkeeper
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(StoreCollector(opened))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=media_type)


class StoreCollector(Collector):
    """What the store says now; nothing is kept between two scrapes."""

    def __init__(self, opened: App) -> None:
        self._app = opened

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: registering must not read the store."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric of ours.

        Raises:
            StoreFailed: If the store cannot be read.
        """
        now = self._app.clock.now()
        yield _gauge("build_info", "The version that runs; always 1.", {(watchkeeper.__version__,): 1}, ("version",))
        totals = observability.totals(self._app.store, now - WINDOW)
        yield from _of_requests(totals)
        yield _gauge(
            "newest_request_timestamp_seconds",
            "When the newest request started; absent while there is none.",
            {(): totals.newest.timestamp()} if totals.newest else {},
        )
        yield _gauge(
            "open_incidents",
            "Incidents that are not resolved.",
            {(kind, severity): count for (kind, severity), count in incidents.open_counts(self._app.store).items()},
            ("kind", "severity"),
        )
        # Kept by day and never deleted: the one thing here that only grows.
        mended = CounterMetricFamily(
            "watchkeeper_intake",
            "What the receiver dropped, mended or refused, by name (docs/records.md).",
            labels=("what",),
        )
        for what, count in sorted(observability.intake_counts(self._app.store, _EVER).items()):
            mended.add_metric((what,), count)
        yield mended
        yield _funnel(scoring.funnel(self._app.store, now - FUNNEL_WINDOW, now))
        outbox = incidents.outbox_state(self._app.store)
        yield _gauge(
            "outbox_messages",
            "Messages for the channel that wait, and that were given up.",
            {("waiting",): outbox.waiting, ("failed",): outbox.failed},
            ("state",),
        )


def _funnel(rows: Iterable[Funnel]) -> GaugeMetricFamily:
    """Routes are those of the configuration, so they are few."""
    return _gauge(
        "scoring_last_day",
        "Requests of the last day by how far they came on their way to a score; every stage is part of the one before.",
        {(row.route, stage): getattr(row, stage) for row in summed(rows) for stage in STAGES},
        ("route", "stage"),
    )


def _of_requests(totals: Totals) -> Iterator[Metric]:
    route = _Folded("route", [(g.route, g.requests) for g in totals.requests])
    model = _Folded("model", [(g.model, g.calls) for g in totals.calls])
    errors = [(g.error_type, g.requests) for g in totals.requests] + [(g.error_type, g.calls) for g in totals.calls]
    error = _Folded("error_type", errors)
    yield _gauge(
        "folded_names",
        f"Names of the last hour that are counted as `{OTHER}`, by label.",
        {(each.label,): each.folded for each in (route, model, error)},
        ("label",),
    )
    requests, failed = _Sums(), _Sums()
    for g in totals.requests:
        requests.add((route(g.route),), g.requests)
        if g.error_type is not None:
            failed.add((route(g.route), error(g.error_type)), g.requests)
    yield _gauge("requests_last_hour", "Requests that started in the last hour.", requests, ("route",))
    yield _gauge("request_errors_last_hour", "Those of them that failed.", failed, ("route", "error_type"))
    yield _histogram(
        "request_latency_last_hour_seconds",
        "How long the requests of the last hour took.",
        ((route(g.route), g.latency_bucket, g.latency_ms, g) for g in totals.requests),
    )
    yield _histogram(
        "request_ttft_last_hour_seconds",
        "How long the requests of the last hour took to their first text.",
        ((route(g.route), g.ttft_bucket, g.ttft_ms, g) for g in totals.requests),
    )
    calls, call_errors, unpriced, tokens, cost = _Sums(), _Sums(), _Sums(), _Sums(), _Sums()
    for c in totals.calls:
        key = (route(c.route), model(c.model))
        calls.add(key, c.calls)
        unpriced.add(key, c.unpriced)
        if c.error_type is not None:
            call_errors.add((*key, error(c.error_type)), c.calls)
        for bucket, count in c.tokens.items():
            tokens.add((*key, bucket), count)
        if c.cost_nano_usd is not None:
            cost.add(key, c.cost_nano_usd)
    labels = ("route", "model")
    yield _gauge("calls_last_hour", "Model calls of the requests of the last hour.", calls, labels)
    yield _gauge("call_errors_last_hour", "Those of them that failed.", call_errors, (*labels, "error_type"))
    yield _gauge(
        "tokens_last_hour",
        "Tokens of those calls. The types do not overlap: input is without cached, output without reasoning.",
        tokens,
        (*labels, "type"),
    )
    yield _gauge(
        "cost_last_hour_usd",
        "Cost of those calls that have one, in US dollars.",
        {key: nano / _NANO for key, nano in cost.items()},
        labels,
    )
    yield _gauge("unpriced_calls_last_hour", "Those calls that ended well and have no cost.", unpriced, labels)


class _Sums(defaultdict[tuple[str, ...], int]):
    """Label values -> sum."""

    def __init__(self) -> None:
        super().__init__(int)

    def add(self, key: tuple[str, ...], count: int) -> None:
        self[key] += count


class _Folded:
    """Names as label values: the most frequent as they are, the others as one.

    Attributes:
        folded: How many names became one.
    """

    def __init__(self, label: str, counted: list[tuple[str | None, int]]) -> None:
        self.label = label
        self._kept = most_frequent(counted, most=MOST_NAMES)
        self.folded = len({name for name, _ in counted if name is not None} - self._kept)

    def __call__(self, name: str | None) -> str:
        if name is None:
            return _UNKNOWN
        return name if name in self._kept else OTHER


def _gauge(
    name: str, text: str, values: Mapping[tuple[str, ...], float], labels: tuple[str, ...] = ()
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"watchkeeper_{name}", text, labels=labels)
    for key in sorted(values):
        family.add_metric(key, values[key])
    return family


def _histogram(
    name: str, text: str, rows: Iterable[tuple[str, int | None, float | None, RequestGroup]]
) -> GaugeHistogramMetricFamily:
    """Rows of route, bucket and the sum of milliseconds; what was not measured is not counted."""
    counts: dict[str, list[int]] = {}
    sums: dict[str, float] = defaultdict(float)
    for route, bucket, milliseconds, group in rows:
        if bucket is not None and milliseconds is not None:
            counts.setdefault(route, [0] * (len(BOUNDARIES_S) + 1))[bucket] += group.requests
            sums[route] += milliseconds / 1000
    family = GaugeHistogramMetricFamily(f"watchkeeper_{name}", text, labels=("route",))
    ends = [*(str(end) for end in BOUNDARIES_S), "+Inf"]
    for route in sorted(counts):
        below, buckets = 0, []
        for end, count in zip(ends, counts[route], strict=True):
            below += count
            buckets.append((end, float(below)))
        family.add_metric((route,), buckets, gsum_value=sums[route])
    return family
