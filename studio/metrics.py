"""What Prometheus is told: requests as this web process counted them, and figures of the rows.

Gauges are read from the database at each scrape. Counters begin at 0 with the process and rise by
what the rows say has happened since, so that deleting a job takes nothing back.
"""

import time
from collections.abc import Callable, Iterator

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db.models import BigIntegerField, Count, Max, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from training import health, heartbeats
from training.models import Dataset, Job, JobEvent, TunedModel

CONTENT_TYPE = CONTENT_TYPE_LATEST
ROWS_SECONDS = 5
"""How long reading the rows may take; without them the rest is told."""
disable_created_metrics()
registry = CollectorRegistry()
ProcessCollector(registry=registry)
REQUESTS = Counter(
    "dadeum_http_requests", "Requests answered, by route and class of status.",
    ["route", "status"], registry=registry,
)  # fmt: skip
SECONDS = Histogram(
    "dadeum_http_request_duration_seconds", "Time to an answer's first byte, by route.", ["route"],
    registry=registry, buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip


def exposition() -> bytes:
    return generate_latest(registry)


# --- requests -----------------------------------------------------------------------------------
class Measured:
    """Counts and times every answer, where somebody may ask for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.METRICS_TOKEN:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = self.get_response(request)
        name = route(request)
        REQUESTS.labels(name, f"{response.status_code // 100}xx").inc()
        SECONDS.labels(name).observe(time.perf_counter() - began)
        return response


def route(request: HttpRequest) -> str:
    """Return the name of a request's route; what leads nowhere has one name, however many."""
    if match := request.resolver_match:
        return match.view_name or match.route
    return "static" if request.path_info.startswith(f"/{settings.STATIC_URL}") else "none"


# --- rows ---------------------------------------------------------------------------------------
class Rising:
    """Sums up by how much figures rise; one that falls, as when rows are deleted, stands still."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.total: dict[str, int] = {}

    def see(self, name: str, value: int) -> int:
        risen = max(0, value - self.last.get(name, value))
        self.last[name] = value
        self.total[name] = self.total.get(name, 0) + risen
        return self.total[name]


class Rows(Collector):
    def __init__(self) -> None:
        self.rising = Rising()
        self.last_event: int | None = None
        self.crashes = 0

    def collect(self) -> Iterator[Metric]:
        yield from checks()
        begun = health.begin("metrics", lambda: health.Finding(figures={"all": list(self.read())}))
        yield from health.answers([begun], ROWS_SECONDS)[0].figures.get("all", ())

    def read(self) -> Iterator[Metric]:
        counts = dict.fromkeys(Job.Status.values, 0)
        counts |= dict(Job.objects.order_by().values_list("status").annotate(Count("pk")))
        yield gauge("jobs", "Trainings by status.", counts, "status")
        lanes = {lane: heartbeats.fresh(lane).count() for lane in heartbeats.LANES}
        yield gauge("workers", "Workers that are there, by lane.", lanes, "lane")
        yield gauge("queue_oldest_wait_seconds", "Wait of the training that could have begun first.", health.waiting_seconds())  # fmt: skip
        yield gauge("queue_stalled_seconds", "How long one has waited while nobody trained.", health.stalled_seconds())  # fmt: skip
        yield gauge("datasets", "Datasets.", Dataset.objects.count())
        yield gauge("tuned_models", "Models that were trained.", TunedModel.objects.count())
        ended = {status: self.rising.see(status, counts[status]) for status in Job.FINAL}
        yield counter("jobs_finished", "Trainings that ended, by result.", ended, "result")
        yield counter("job_crashes", "Attempts that crashed.", self.crashed())
        tokens = Cast(KT("progress__trained_tokens"), BigIntegerField())
        trained = Job.objects.order_by().aggregate(sum=Sum(tokens))["sum"] or 0
        yield counter("trained_tokens", "Tokens learnt.", self.rising.see("tokens", trained))

    def crashed(self) -> int:
        """Count the crashes among the events since the last look."""
        newest = JobEvent.objects.aggregate(pk=Max("pk"))["pk"] or 0
        if self.last_event is not None:
            since = JobEvent.objects.filter(pk__gt=self.last_event, pk__lte=newest, kind="crash")
            self.crashes += since.count()
        self.last_event = max(newest, self.last_event or 0)
        return self.crashes


def checks() -> Iterator[Metric]:
    found = health.report().checks
    used = {name: one for name, one in found.items() if one.status != health.OFF}
    well = {name: int(one.status == health.OK) for name, one in used.items()}
    yield gauge("check_ok", "Whether a check of /health/ready is well.", well, "check")
    servers = found["engines"].figures.get("servers", {}) if "engines" in found else {}
    if servers:
        answering = {name: int(said == health.OK) for name, said in servers.items()}
        yield gauge("engine_ok", "Whether a server of DADEUM_ENGINES answers.", answering, "engine")
    for name, said in (("free_bytes", "Free disk."), ("size_bytes", "Size of the disk.")):
        if name in found["disk"].figures:
            yield gauge(f"disk_{name}", said, found["disk"].figures[name])


def gauge(name: str, said: str, value: int | dict[str, int], label: str = "") -> Metric:
    return _filled(
        GaugeMetricFamily(f"dadeum_{name}", said, labels=[label] if label else None), value
    )


def counter(name: str, said: str, value: int | dict[str, int], label: str = "") -> Metric:
    return _filled(
        CounterMetricFamily(f"dadeum_{name}", said, labels=[label] if label else None), value
    )


def _filled(metric: Metric, value: int | dict[str, int]) -> Metric:
    """Give a family its value, or one for each value of its label."""
    for name, one in value.items() if isinstance(value, dict) else [(None, value)]:
        metric.add_metric([] if name is None else [str(name)], one)
    return metric


ROWS = Rows()
registry.register(ROWS)
