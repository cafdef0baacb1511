"""How gunicorn serves the desk: ``gunicorn -c config/gunicorn.py config.wsgi``."""

import os
import tempfile
from typing import Any

from config import logs

demo = os.environ.get("STEADFAST_MODE") == "demo"

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "4"))
# Long work is a job; a request that takes longer than this has gone wrong.
timeout = 60
graceful_timeout = 20
keepalive = 5
max_requests = 5_000
max_requests_jitter = 500
# Docker's /tmp may be on disk, where a worker's heartbeat can block.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108
logconfig_dict = logs.configuration(as_json=not demo, level=os.environ.get("LOG_LEVEL", "INFO"))
accesslog = None
# It would lie in the user's home and be shared by every installation of that user.
control_socket_disable = True

if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    # Read by prometheus_client when the workers import it.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="steadfast-metrics-")


def child_exit(server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that has ended."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    """Remove the counters' files."""
    import shutil

    if "steadfast-metrics-" in os.environ["PROMETHEUS_MULTIPROC_DIR"]:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
