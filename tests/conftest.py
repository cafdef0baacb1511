"""Fixtures for every test: real servers, a real worker, a real mail server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiosmtpd.controller import Controller
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase
from django.utils import translation
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from config import assets, embedded, processes
from config.celery import app

# How long an example takes says more about the machine than about the code.
hypothesis_settings.register_profile("steadfast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("steadfast")

CHECKOUT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Build style sheet, scripts and messages once, in the process that starts the others."""
    if not hasattr(config, "workerinput"):
        assets.build()


@pytest.fixture(autouse=True, scope="session")
def flush_passes_append_only_triggers() -> Iterator[None]:
    """Let the flush after a transactional test empty append-only tables; nothing else may."""
    flush = TransactionTestCase._fixture_teardown

    def flush_without_triggers(self: TransactionTestCase) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            try:
                flush(self)
            finally:
                cursor.execute("SET session_replication_role = DEFAULT")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", flush_without_triggers)
        yield


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """No test speaks the language in which another asked for its last page."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _empty_valkey() -> None:
    """No test sees what another left in the cache or in the queue."""
    cache.clear()


@pytest.fixture(autouse=True)
def _media_of_its_own(settings: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files that tests upload are not left in the checkout."""
    settings.MEDIA_ROOT = tmp_path_factory.getbasetemp() / "media"


@dataclass
class Mailbox:
    """A real SMTP server on a free port, and what it was given. ``answer`` may refuse a message."""

    host: str = "127.0.0.1"
    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answer: Callable[[str], str] = lambda recipient: "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (named by aiosmtpd)
        """Keep one message, unless ``answer`` refuses its first recipient."""
        answer = self.answer(envelope.rcpt_tos[0])
        if answer.startswith("250"):
            self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
            self.recipients.extend(envelope.rcpt_tos)
        return answer


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    """Mail of this process, and of a ``worker`` asked for after it, arrives here over SMTP."""
    box = Mailbox()
    [box.port] = embedded.free_ports(1)
    controller = Controller(box, hostname=box.host, port=box.port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = box.host, box.port
    yield box
    controller.stop()


@dataclass
class Worker:
    """A Celery worker in processes of its own, on the test database."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--concurrency=2", "--loglevel=INFO"]
        command += ["--without-gossip", "--without-mingle"]
        self.process = processes.start(
            command, log=self.log, environment=self.environment, directory=CHECKOUT, death_signal=signal.SIGKILL
        )
        deadline = time.monotonic() + 60
        while not app.control.ping(timeout=0.2):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The worker did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """End it and its pool at once with SIGKILL, as a power cut would."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End it in good order."""
        if self.process is not None:
            processes.stop(self.process)
            self.process = None


@pytest.fixture
def worker(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[Worker]:
    """A running Celery worker that sees what the test commits. Costs two seconds: use it where it proves something."""
    database = connection.settings_dict
    login = f"{quote(database['USER'])}:{quote(database['PASSWORD'] or '')}"
    environment = os.environ | {
        "STEADFAST_MODE": "test",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"postgresql://{login}@{database['HOST']}:{database['PORT']}/{quote(str(database['NAME']))}",
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": settings.SECRET_KEY,
        "EMAIL_HOST": settings.EMAIL_HOST,
        "EMAIL_PORT": str(settings.EMAIL_PORT),
    }
    running = Worker(environment, tmp_path / "worker.log")
    running.start()
    yield running
    running.stop()


def wait_until(happened: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Wait for something that another process does; fails the test when it does not come."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            pytest.fail(f"It did not happen within {seconds:g} seconds.")
        time.sleep(0.02)
