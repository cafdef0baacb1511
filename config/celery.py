"""The Celery application. Tasks live in each room's ``tasks.py``."""

import os
import signal
from typing import Any

from celery import Celery, signals

from config import processes
from config.logs import request_id

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("steadfast")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Django has set up logging; that we listen keeps Celery from doing it again its own way."""


@signals.worker_process_init.connect
def end_with_the_worker(**kwargs: Any) -> None:
    """A pool process of a killed worker must not go on working for a worker that is no more."""
    processes.die_with_parent(signal.SIGKILL)


@signals.task_prerun.connect
def name_the_task_in_logs(task_id: str, **kwargs: Any) -> None:
    """Log lines of a task carry its id where those of a request carry the request's."""
    request_id.set(task_id)


@signals.beat_init.connect
def beat_at_once(**kwargs: Any) -> None:
    """The first heartbeat comes at the start, not half a minute later."""
    app.send_task("config.tasks.heartbeat")
