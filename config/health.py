"""Whether the installation is well: asked by machines at ``/readyz`` and by people on the health page."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

HEARTBEAT_KEY = "config:heartbeat"
# Beat sends one every 15 seconds; three may be lost.
HEARTBEAT_FRESH_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """One thing that must be well, whether it is, and in words how it is."""

    key: str
    label: str
    ok: bool
    detail: str


def checks() -> list[Check]:
    """Every check of the installation, made now."""
    return [check_database(), check_broker(), check_migrations(), check_beat()]


def check_database() -> Check:
    """PostgreSQL answers."""
    label = _("Database")
    try:
        milliseconds = _milliseconds(lambda: connection.cursor().execute("SELECT 1"))
    except DatabaseError:
        return Check("database", label, False, _("PostgreSQL does not answer."))
    return Check("database", label, True, _("PostgreSQL answered in %(ms)s ms.") % {"ms": milliseconds})


def check_broker() -> Check:
    """The broker answers."""
    label = _("Broker")
    try:
        with redis.Redis.from_url(settings.CELERY_BROKER_URL, socket_timeout=2, socket_connect_timeout=2) as broker:
            milliseconds = _milliseconds(broker.ping)
            waiting = int(str(broker.llen(settings.CELERY_TASK_DEFAULT_QUEUE)))
    except redis.exceptions.RedisError:
        return Check("broker", label, False, _("The broker does not answer."))
    queue = ngettext("%(count)s task waits.", "%(count)s tasks wait.", waiting) % {"count": waiting}
    return Check("broker", label, True, _("Answered in %(ms)s ms.") % {"ms": milliseconds} + " " + queue)


_migrated = False


def check_migrations() -> Check:
    """Every migration of this version is applied. Once seen to be so, it stays so for this process."""
    global _migrated  # noqa: PLW0603
    label = _("Migrations")
    if not _migrated:
        try:
            executor = MigrationExecutor(connection)
            missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        except DatabaseError:
            return Check("migrations", label, False, _("PostgreSQL does not answer."))
        if missing:
            words = ngettext("%(count)s migration is not applied.", "%(count)s migrations are not applied.", missing)
            return Check("migrations", label, False, words % {"count": missing})
        _migrated = True
    return Check("migrations", label, True, _("All are applied."))


def check_beat() -> Check:
    """Beat has sent a heartbeat and a worker has taken it, less than a minute ago."""
    label = _("Beat and workers")
    try:
        seen = cache.get(HEARTBEAT_KEY)
    except redis.exceptions.RedisError:
        return Check("beat", label, False, _("The broker does not answer."))
    if seen is None:
        return Check("beat", label, False, _("No heartbeat yet: start beat and a worker."))
    age = max(0, round(time.time() - seen))
    words = ngettext("Last heartbeat %(age)s second ago.", "Last heartbeat %(age)s seconds ago.", age)
    return Check("beat", label, age <= HEARTBEAT_FRESH_SECONDS, words % {"age": age})


def note_heartbeat() -> None:
    """Called by a worker for beat."""
    cache.set(HEARTBEAT_KEY, time.time(), timeout=24 * 3600)


def _milliseconds(act: Callable[[], object]) -> int:
    started = time.perf_counter()
    act()
    return round((time.perf_counter() - started) * 1000)
