"""The demo: every process of an installation on this machine, started together and ended together.

The children run in sessions of their own, so that Ctrl-C reaches only this process, which ends them in
order. Should this process be killed outright, the kernel ends them (``processes.start``), and the keeper
of the embedded servers notices that nobody holds them any more.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from config import embedded, processes
from config.embedded import State

Say = Callable[[str], None]

LOOK_SECONDS = 0.3
WEB_SECONDS = 60
RESTARTS = 3
RESTARTS_WITHIN_SECONDS = 60
# All parts together have so long to end the work in hand.
END_SECONDS = 10


class Trouble(Exception):
    """The demo cannot start or go on; the message is one line."""


@dataclass
class Part:
    """One child: what it is called, how it starts, how it is asked to end."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    # How the kernel ends it when this process is killed: at once, not after the work in hand.
    death_signal: int = signal.SIGQUIT
    process: subprocess.Popen[bytes] | None = None
    died_at: deque[float] = field(default_factory=lambda: deque(maxlen=RESTARTS + 1))

    @property
    def log(self) -> Path:
        """The file of its output."""
        return embedded.home() / "logs" / f"{self.name.replace(' ', '-')}.log"

    def start(self) -> None:
        """Start it."""
        self.process = processes.start(
            self.command,
            log=self.log,
            environment=os.environ | self.environment,
            directory=embedded.CHECKOUT,
            death_signal=self.death_signal,
        )


def parts(port: int, mail: Path) -> list[Part]:
    """The children, in the order of their start; the web server last, for it is what people wait for."""
    python = sys.executable
    celery = [python, "-m", "celery", "-A", "config"]
    return [
        Part("mail sink", [python, "-m", "config.mail_sink", str(embedded.mail_port()), str(mail)]),
        Part(
            "worker",
            [*celery, "worker", "--concurrency=2", "--loglevel=INFO", "--without-gossip", "--without-mingle"],
            # It would tell a broker that is gone, and wait for it: Celery ends in no other way without one.
            death_signal=signal.SIGKILL,
        ),
        Part("beat", [*celery, "beat", "--loglevel=INFO", "--pidfile="], death_signal=signal.SIGTERM),
        Part(
            "web server",
            [python, "-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi"],
            {"BIND": f"127.0.0.1:{port}"},
        ),
    ]


@contextlib.contextmanager
def only_one(port: int) -> Iterator[None]:
    """Refuse a second demo of this checkout, and a port that is in use."""
    embedded.make_directory(embedded.home() / "logs")
    with (embedded.home() / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Trouble("The demo of this checkout runs already; stop that one first.") from None
        if not embedded.port_is_free(port):
            raise Trouble(f"Port {port} is in use by another program. Choose another: make demo PORT={port + 1}")
        yield


def run(port: int, say: Say, ready: Callable[[], None]) -> None:
    """Start every part, call ``ready`` when the desk answers, and watch the parts until told to stop."""
    mail = embedded.home() / "mail"
    mail.mkdir(exist_ok=True)
    if not embedded.port_is_free(embedded.mail_port()):
        embedded.write_state(State(**(embedded.state() | {"mail_port": embedded.free_ports(1)[0]})))
    children = parts(port, mail)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        for part in children:
            _put_aside(part.log)
            part.start()
        _await_web(children[-1], port)
        ready()
        while True:
            time.sleep(LOOK_SECONDS)
            _look_after(children, say)
    except _Stopped:
        say("Stopping.")
    finally:
        _end(children)


class _Stopped(BaseException):
    """Somebody asked us to stop."""


def _stop(number: int, frame: object) -> NoReturn:
    raise _Stopped


def _put_aside(log: Path) -> None:
    if log.exists():
        log.replace(log.with_suffix(".log.1"))


def _await_web(web: Part, port: int) -> None:
    deadline = time.monotonic() + WEB_SECONDS
    while time.monotonic() < deadline:
        if web.process is None or web.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise Trouble(f"The web server did not start: {_last_line(web.log)} ({web.log})")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing."


def _look_after(children: list[Part], say: Say) -> None:
    """Start a part that died again, unless it keeps dying."""
    if embedded.wanted() and not embedded.running():
        raise Trouble(f"PostgreSQL or Valkey ended by itself; see {embedded.home() / 'logs'}.")
    for part in children:
        if part.process is None or part.process.poll() is None:
            continue
        part.died_at.append(time.monotonic())
        how = _ending(part.process.returncode)
        processes.stop(part.process)
        if len(part.died_at) > RESTARTS and part.died_at[-1] - part.died_at[0] < RESTARTS_WITHIN_SECONDS:
            raise Trouble(f"The {part.name} keeps dying ({how}): {_last_line(part.log)} ({part.log})")
        say(f"The {part.name} died ({how}) and is started again; see {part.log}.")
        part.start()


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _end(children: list[Part]) -> None:
    """Ask all to end, then wait for them; a second Ctrl-C does not wait."""
    deadline = time.monotonic() + END_SECONDS
    for part in reversed(children):
        if part.process is not None and part.process.poll() is None:
            part.process.send_signal(signal.SIGTERM)
    for part in reversed(children):
        while part.process is not None:
            try:
                processes.stop(part.process, None, patience=max(0.0, deadline - time.monotonic()))
            except _Stopped:
                deadline = time.monotonic()
                continue
            part.process = None
