"""How far a job is, written where everybody sees it at once.

A handler mostly works inside one long transaction, and what it writes there shows only at the end. So
progress goes over a connection of its own in autocommit, and the answer to each write says whether
somebody asked for the job to stop. A thread writes the heartbeat, so that a statement of ten minutes
does not look like a dead worker.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import psycopg
from django.db import connection
from django.utils import timezone

from staff.models import Job

logger = logging.getLogger(__name__)

WRITE_SECONDS = 0.5
HEARTBEAT_SECONDS = 3.0
# An estimate from the first moments jumps about; better none.
ESTIMATE_AFTER_SECONDS = 2.0

WRITE = """
    UPDATE staff_job SET done = %(done)s, total = %(total)s, step = %(step)s, expected_at = %(expected_at)s,
        heartbeat_at = %(now)s
    WHERE id = %(id)s AND state = 'running' AND attempt = %(attempt)s
    RETURNING cancel_requested
"""
BEAT = """
    UPDATE staff_job SET heartbeat_at = %(now)s
    WHERE id = %(id)s AND state = 'running' AND attempt = %(attempt)s
    RETURNING cancel_requested
"""


class Cancelled(Exception):
    """Somebody asked for this job to stop."""


class Superseded(Exception):
    """Another worker has taken the job, or it was ended from outside; this one must stop."""


class Progress:
    """What a handler reports through. It writes at most twice a second, so it may be called for every row."""

    def __init__(self, job: Job, echo: Callable[[Job], None] | None = None) -> None:
        self.was_interrupted = False
        self._job = job
        self._echo = echo
        self._written_at = 0.0
        self._phase_at = time.monotonic()
        self._phase_done = job.done
        self._connection: psycopg.Connection[Any] | None = None
        self._visible = False
        self._over = threading.Event()
        self._beating: threading.Thread | None = None
        self._interruptible: psycopg.Connection[Any] | None = None
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        """Open the connection and start the heartbeat."""
        self._connection = _connect()
        # Inside an open transaction (some tests) the row does not exist for others, and nobody watches it.
        query = "SELECT 1 FROM staff_job WHERE id = %s AND attempt = %s"
        self._visible = self._connection.execute(query, [self._job.pk, self._job.attempt]).fetchone() is not None
        if self._visible:
            self._beating = threading.Thread(target=self._beat, name=f"heartbeat of job {self._job.pk}", daemon=True)
            self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the heartbeat, write the last figures and close the connection."""
        self._over.set()
        if self._beating:
            self._beating.join()
        if self._connection:
            self._connection.close()

    def update(self, done: int | None = None, *, total: int | None = None, step: str | None = None) -> None:
        """Report how far the job is. Raises :class:`Cancelled` when it was asked to stop."""
        job = self._job
        new_phase = (step is not None and step != job.step) or (done is not None and done < job.done)
        job.done = job.done if done is None else done
        job.total = job.total if total is None else total
        job.step = job.step if step is None else step[:120]
        if new_phase:
            self._phase_at, self._phase_done = time.monotonic(), job.done
        elif time.monotonic() - self._written_at < WRITE_SECONDS:
            return
        self.check()

    def check(self) -> None:
        """Write now. Raises :class:`Cancelled` when the job was asked to stop."""
        self._written_at = time.monotonic()
        self._job.expected_at = self._estimate()
        self._send(WRITE)
        if self._echo:
            self._echo(self._job)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a cancel also stop the SQL statement that is running on the handler's connection.

        Only around work whose transaction may be rolled back at any point.
        """
        connection.ensure_connection()
        with self._guard:
            self._interruptible = connection.connection
        try:
            yield
        finally:
            with self._guard:
                self._interruptible = None

    def _estimate(self) -> datetime | None:
        """When the job will be done if it goes on at the speed of its present phase."""
        job = self._job
        elapsed, advanced = time.monotonic() - self._phase_at, job.done - self._phase_done
        if not job.total or advanced <= 0 or elapsed < ESTIMATE_AFTER_SECONDS:
            return None
        return timezone.now() + timedelta(seconds=elapsed / advanced * max(job.total - job.done, 0))

    def _send(self, statement: str) -> None:
        """Write over the second connection and obey the answer."""
        if not self._visible or self._connection is None:
            return
        job = self._job
        try:
            row = self._connection.execute(statement, self._values()).fetchone()
        except psycopg.errors.LockNotAvailable:
            logger.warning("the row of job %s is locked; progress not written", job.pk)
            return
        if row is None:
            raise Superseded
        if row[0]:
            raise Cancelled

    def _values(self) -> dict[str, Any]:
        job = self._job
        return {
            "id": job.pk,
            "attempt": job.attempt,
            "done": job.done,
            "total": job.total,
            "step": job.step,
            "expected_at": job.expected_at,
            "now": timezone.now(),
        }

    def _beat(self) -> None:
        """The thread: say that the worker is alive, and stop its statement if that is allowed and wanted."""
        while not self._over.wait(HEARTBEAT_SECONDS):
            try:
                self._send(BEAT)
            except (Cancelled, Superseded):
                # The handler learns of it at its next report; only a long statement must be told now.
                self._interrupt()
            except psycopg.Error:
                logger.warning("heartbeat of job %s failed", self._job.pk, exc_info=True)
                return

    def _interrupt(self) -> None:
        with self._guard:
            if self._interruptible is not None:
                self.was_interrupted = True
                self._interruptible.cancel_safe()


def _connect() -> psycopg.Connection[Any]:
    """A short-lived connection to the same database, in autocommit, that never waits long for a lock."""
    parameters = connection.get_connection_params()
    second: psycopg.Connection[Any] = psycopg.connect(**parameters, autocommit=True)
    second.execute("SET lock_timeout = '2s'")
    return second
