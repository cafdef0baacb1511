"""Background work with progress, cancel, result and a readable error.

A room registers a handler for a kind and starts jobs of it::

    @jobs.handler("recalculate-tiers")
    def recalculate(job: Job, progress: jobs.Progress) -> dict[str, Any]:
        ...

    jobs.start("recalculate-tiers", title=..., payload={...}, user=request.user)

A handler is called by a Celery worker, or inline by a management command (:func:`run_inline`). It may
be called again for the same job after a worker died, so it must be repeatable. It opens its own
transactions and never writes the job's row, which belongs to this module and to ``staff.progress``.

What it returns is shown on the job's page: ``summary`` as a sentence, ``links`` (``[{"label", "url"}]``)
as links, everything else as a list of names and values.
"""

import logging
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pghistory
from django.db import close_old_connections, connection, transaction
from django.db.models import F, Q
from django.db.utils import OperationalError
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from staff.models import Job, User
from staff.progress import Cancelled, Progress, Superseded

__all__ = ["Cancelled", "Failed", "Progress", "cancel", "create", "handler", "run", "run_inline", "start"]

logger = logging.getLogger(__name__)

# The heartbeat comes every few seconds from a thread of the worker (staff.progress), whatever the
# handler is doing, so a minute of silence means that the process or its machine is gone.
STALE_AFTER = timedelta(minutes=1)
# A message may be lost with the broker, so a job nobody took is announced again. A second message for
# a job that was merely waiting does no harm: only one worker can take it.
ANNOUNCE_AGAIN_AFTER = timedelta(minutes=5)
# A job that takes its worker down each time (out of memory) must not go round for ever.
MAX_ATTEMPTS = 3

Handler = Callable[[Job, Progress], dict[str, Any]]
_handlers: dict[str, Handler] = {}


class Failed(Exception):
    """The job cannot go on; the text says why, in words for the person who started it."""


def handler(kind: str) -> Callable[[Handler], Handler]:
    """Register the function that does jobs of this kind."""

    def register(function: Handler) -> Handler:
        _handlers[kind] = function
        return function

    return register


def kinds() -> list[str]:
    """The kinds of jobs that can be done, in alphabetical order."""
    return sorted(_handlers)


def create(kind: str, *, title: str, payload: dict[str, Any], user: User | None) -> Job:
    """Write a job down without handing it to the workers: for :func:`run_inline`."""
    if kind not in _handlers:
        raise LookupError(f"No handler is registered for jobs of kind {kind!r}.")
    return Job.objects.create(kind=kind, title=title[:200], payload=payload, created_by=user)


def start(kind: str, *, title: str, payload: dict[str, Any], user: User | None) -> Job:
    """Queue a job; a worker takes it once the transaction is committed."""
    job = create(kind, title=title, payload=payload, user=user)
    _announce(job)
    return job


def _announce(job: Job) -> None:
    """Tell the workers on commit. If the broker is down, :func:`revive` tells them later."""
    from staff.tasks import run_job

    transaction.on_commit(partial(run_job.delay, job.pk), robust=True)


def cancel(job: Job) -> bool:
    """Ask a job to stop; a waiting one is over at once. False if it was already over."""
    now = timezone.now()
    if Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).update(
        state=Job.State.CANCELLED, cancel_requested=True, finished_at=now
    ):
        return True
    return bool(Job.objects.filter(pk=job.pk, state=Job.State.RUNNING).update(cancel_requested=True))


def run(job_id: int) -> Job | None:
    """Do a queued job, or one whose worker died. None if somebody else has it or it is over."""
    job = _take(job_id)
    if job is not None:
        _do(job, Progress(job))
    return job


def run_inline(job: Job, *, echo: Callable[[Job], None] | None = None) -> Job:
    """Do a job here and now, for a management command. Ctrl-C cancels it.

    ``echo`` is called with the job at each report; :class:`staff.terminal.ProgressLine` draws a line.
    The job that is returned says how it ended.
    """
    taken = _take(job.pk)
    if taken is None:
        job.refresh_from_db()
        return job
    _do(taken, Progress(taken, echo))
    if echo:
        echo(taken)
    return taken


def revive() -> int:
    """Hand jobs of dead workers, and jobs whose message was lost, to the workers again. Returns how many.

    The beat calls it twice a minute.
    """
    now = timezone.now()
    dead = Job.objects.filter(_dead(now))
    for job in dead.filter(attempt__gte=MAX_ATTEMPTS):
        _finish(
            job,
            Job.State.FAILED,
            error=_("Its worker stopped %(count)d times while doing this, so it was given up.")
            % {"count": job.attempt},
        )
    revived = 0
    lost = Q(state=Job.State.QUEUED, queued_at__lt=now - ANNOUNCE_AGAIN_AFTER)
    for job in Job.objects.filter(_dead(now) | lost):
        same = Job.objects.filter(pk=job.pk, state=job.state, attempt=job.attempt, queued_at=job.queued_at)
        if same.filter(_dead(now) | lost).update(state=Job.State.QUEUED, queued_at=now):
            logger.warning("job handed out again", extra={"job": job.pk, "kind": job.kind, "attempt": job.attempt})
            _announce(job)
            revived += 1
    return revived


def _dead(now: datetime) -> Q:
    """Jobs that run according to their row, but whose worker has been silent."""
    return Q(state=Job.State.RUNNING, heartbeat_at__lt=now - STALE_AFTER)


def _take(job_id: int) -> Job | None:
    """Make the job this worker's. The conditional UPDATE lets exactly one worker win."""
    now = timezone.now()
    free = Q(state=Job.State.QUEUED) | _dead(now)
    taken = Job.objects.filter(free, pk=job_id).update(
        state=Job.State.RUNNING,
        attempt=F("attempt") + 1,
        started_at=now,
        heartbeat_at=now,
        expected_at=None,
        finished_at=None,
        error="",
    )
    return Job.objects.select_related("created_by").get(pk=job_id) if taken else None


def _do(job: Job, progress: Progress) -> None:
    """Call the handler and write down how it ended. Errors end here: the row is where they are read."""
    language = job.created_by.language if job.created_by else None
    state, result, error = Job.State.CANCELLED, {}, ""
    # What a handler changes in configuration is written under the name of whoever started the job.
    with translation.override(language), pghistory.context(user=job.created_by_id, job=job.pk):
        try:
            with progress:
                progress.check()
                result = _handlers[job.kind](job, progress)
            state = Job.State.DONE
        except (Cancelled, KeyboardInterrupt):
            logger.info("job cancelled", extra={"job": job.pk, "kind": job.kind})
        except Superseded:
            logger.warning("job was taken by another worker", extra={"job": job.pk, "kind": job.kind})
            return
        except Failed as failure:
            state, error = Job.State.FAILED, str(failure)
        except Exception as problem:
            if isinstance(problem, OperationalError) and progress.was_interrupted:
                logger.info("job cancelled in a statement", extra={"job": job.pk, "kind": job.kind})
            else:
                state, error = Job.State.FAILED, _unexpected(job)
    if not connection.in_atomic_block:
        close_old_connections()
    _finish(job, state, result=result, error=error)


def _unexpected(job: Job) -> str:
    """Log the exception being handled under a reference, and return what the person is told."""
    reference = uuid.uuid4().hex[:8]
    logger.exception(
        "job failed unexpectedly (reference %s)", reference, extra={"job": job.pk, "kind": job.kind, "ref": reference}
    )
    return _("Something went wrong (reference %(reference)s). What was not finished was not kept.") % {
        "reference": reference
    }


def _finish(job: Job, state: Job.State, *, result: dict[str, Any] | None = None, error: str = "") -> None:
    """End the job if it is still this worker's, and bring the object up to date."""
    now = timezone.now()
    last = {"done": job.done, "total": job.total, "step": job.step}
    Job.objects.filter(pk=job.pk, state=Job.State.RUNNING, attempt=job.attempt).update(
        state=state, result=result or {}, error=error, finished_at=now, heartbeat_at=now, expected_at=None, **last
    )
    job.refresh_from_db()
