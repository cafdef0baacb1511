"""What Prometheus reads at ``/metrics``.

Counters live in the web processes (in files shared by all of a gunicorn's workers where
``PROMETHEUS_MULTIPROC_DIR`` is set); what is true of the whole installation is asked of the database
and the broker when Prometheus comes.
"""

import os
from collections.abc import Iterable, Iterator

import redis
from django.conf import settings
from django.db import connection
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

REQUESTS = Counter("steadfast_requests", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram(
    "steadfast_request_seconds",
    "Time to answer a request.",
    ["method", "route"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
KNOWN_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request; its time in seconds."""
    method = method if method in KNOWN_METHODS else "other"
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(method, route).observe(seconds)


class Installation(Collector):
    """Jobs, messages and the queue, as they are now."""

    def collect(self) -> Iterable[Metric]:
        """Ask the database and the broker."""
        yield from _jobs()
        yield from _messages()
        yield _queue()


def _jobs() -> Iterator[Metric]:
    jobs = GaugeMetricFamily("steadfast_jobs", "Background jobs that are not over.", labels=["state"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, count(*) FROM staff_job WHERE state IN ('queued', 'running') GROUP BY state")
        counts = dict(cursor.fetchall())
    for state in ("queued", "running"):
        jobs.add_metric([state], counts.get(state, 0))
    yield jobs


def _messages() -> Iterator[Metric]:
    """The two states that partial indexes make cheap; the others are counted by the run."""
    messages = GaugeMetricFamily("steadfast_messages", "Messages on their way.", labels=["state"])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM campaigns_message WHERE state = 'planned'),"
            " (SELECT count(*) FROM campaigns_message WHERE state = 'claimed')"
        )
        planned, claimed = cursor.fetchone()
    messages.add_metric(["planned"], planned)
    messages.add_metric(["claimed"], claimed)
    yield messages


def _queue() -> Metric:
    queue = GaugeMetricFamily("steadfast_queue_length", "Tasks that wait for a worker.")
    with redis.Redis.from_url(settings.CELERY_BROKER_URL, socket_timeout=2) as broker:
        queue.add_metric([], broker.llen(settings.CELERY_TASK_DEFAULT_QUEUE))
    return queue


def render() -> bytes:
    """Everything in Prometheus' text format."""
    registry: CollectorRegistry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    installation = CollectorRegistry()
    installation.register(Installation())
    return generate_latest(registry) + generate_latest(installation)
