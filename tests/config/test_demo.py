"""The demo with its real processes: what it says, and that nothing is left of it however it ends."""

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import embedded
from tests.conftest import CHECKOUT, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def tree(root: int) -> set[int]:
    """The process and all that come from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything; what follows the last bracket is regular.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Demo:
    """A demo of this checkout with data of its own."""

    def __init__(self, data: Path) -> None:
        [self.port] = embedded.free_ports(1)
        clean = {
            k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--members=0", f"--port={self.port}"],
            cwd=CHECKOUT,
            env=clean | {"STEADFAST_MODE": "demo", "STEADFAST_DATA": str(data), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.said.extend(self.process.stdout)

    def await_words(self, words: str) -> None:
        wait_until(lambda: words in "".join(self.said) or self.process.poll() is not None, seconds=90)
        assert words in "".join(self.said), "".join(self.said)

    def pid_of(self, words: str) -> int:
        return next(
            pid
            for pid in sorted(tree(self.process.pid))
            if words in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        )


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    started = Demo(tmp_path / "data")
    family = {started.process.pid}
    try:
        started.await_words("Stop with Ctrl-C.")
        family |= tree(started.process.pid)
        yield started
    finally:
        for pid in family | (tree(started.process.pid) if started.process.poll() is None else set()):
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        started.process.wait()


def test_a_part_that_dies_is_started_again_and_ctrl_c_ends_everything(demo: Demo):
    os.kill(demo.pid_of("celery -A config worker"), signal.SIGKILL)
    demo.await_words("The worker died (SIGKILL) and is started again")
    with urllib.request.urlopen(f"http://127.0.0.1:{demo.port}/healthz") as answer:
        assert answer.status == 200
    family = tree(demo.process.pid)
    assert len(family) >= 12
    demo.process.send_signal(signal.SIGINT)
    # PostgreSQL ends with a checkpoint, which takes its time on a busy disk.
    assert demo.process.wait(240) == 0
    assert not [pid for pid in family if lives(pid)]


def test_kill_9_of_the_demo_ends_every_child(demo: Demo):
    family = tree(demo.process.pid)
    names = " ".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in family)
    assert all(name in names for name in ("postgres", "valkey", "gunicorn", "worker", "beat", "mail_sink"))
    demo.process.kill()
    wait_until(lambda: not [pid for pid in family if lives(pid)], seconds=300)


def test_a_port_in_use_gets_one_line(tmp_path: Path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = subprocess.run(
            [sys.executable, "manage.py", "demo", f"--port={port}"],
            cwd=CHECKOUT,
            env=os.environ | {"STEADFAST_MODE": "test"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert outcome.returncode == 1
    assert outcome.stderr == (
        f"CommandError: Port {port} is in use by another program. Choose another: make demo PORT={port + 1}\n"
    )
