"""The embedded servers, started for real in directories of their own."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, wait_until

HOLD = """
import sys
from config import embedded
try:
    embedded.hold()
except embedded.Unavailable as trouble:
    sys.exit(str(trouble))
import psycopg, redis
with psycopg.connect(embedded.database_url()) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS starts (n int)")
    connection.execute("INSERT INTO starts VALUES (1)")
    print(connection.execute("SELECT count(*) FROM starts").fetchone()[0], flush=True)
redis.Redis.from_url(embedded.redis_url()).ping()
if sys.argv[1:] == ["wait"]:
    sys.stdin.readline()
embedded.release()
"""


def read(path: Path) -> str:
    """A file of /proc; empty where the process is gone or another user's."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


class Holder:
    """Processes that use the servers of one data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.waiting: list[subprocess.Popen[str]] = []

    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
        return clean | {"STEADFAST_MODE": "demo", "STEADFAST_DATA": str(self.data)}

    def once(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", HOLD]
        return subprocess.run(
            command, cwd=CHECKOUT, env=self.environment(), capture_output=True, text=True, check=False
        )

    def wait(self) -> subprocess.Popen[str]:
        """One that holds the servers until its standard input is written to."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, "wait"],
            cwd=CHECKOUT,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.waiting.append(process)
        assert process.stdout
        assert process.stdout.readline().strip().isdigit()
        return process

    def runs(self) -> bool:
        state = json.loads((self.data / "embedded.json").read_text())
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", state["postgres_port"])) == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that was used once: making one takes seconds, so these tests share it."""
    directory = tmp_path_factory.mktemp("embedded") / "with space" / "数据 éñ" / ("long" * 40) / "'quoted' $HOME"
    first = Holder(directory)
    assert first.once().stdout.strip() == "1"
    return directory


@pytest.fixture
def holder(data: Path) -> Iterator[Holder]:
    made = Holder(data)
    yield made
    for process in made.waiting:
        process.kill()
        process.wait()
    wait_until(lambda: not made.runs())


def test_servers_below_any_path_keep_their_data_and_their_secrets(holder: Holder):
    before = int(holder.once().stdout)
    assert int(holder.once().stdout) == before + 1
    assert not holder.runs()
    assert stat.S_IMODE((holder.data / "embedded.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((holder.data / "valkey" / "valkey.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE((holder.data / "postgres").stat().st_mode) == 0o700


def test_servers_stay_until_the_last_holder_is_gone_even_by_sigkill(holder: Holder):
    first, second = holder.wait(), holder.wait()
    first.communicate("\n")
    assert first.returncode == 0
    assert holder.runs()
    second.kill()
    wait_until(lambda: not holder.runs())


def test_a_killed_keeper_takes_the_servers_along_and_the_next_start_recovers(holder: Holder):
    holder.wait()
    [keeper] = [
        int(directory.name)
        for directory in Path("/proc").glob("[0-9]*")
        if f"STEADFAST_DATA={holder.data}" in read(directory / "environ")
        and "config.keeper" in read(directory / "cmdline")
    ]
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not holder.runs())
    assert holder.once().returncode == 0


def test_a_remembered_port_that_another_program_took_is_replaced(holder: Holder):
    state = json.loads((holder.data / "embedded.json").read_text())
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", state["postgres_port"]))
        taken.listen()
        assert holder.once().returncode == 0
        moved = json.loads((holder.data / "embedded.json").read_text())
        assert moved["postgres_port"] != state["postgres_port"]
        assert moved["valkey_port"] == state["valkey_port"]


def test_data_of_another_postgresql_version_gets_one_line(holder: Holder):
    version = holder.data / "postgres" / "PG_VERSION"
    ours = version.read_text()
    version.write_text("15\n")
    outcome = holder.once()
    version.write_text(ours)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"{holder.data}/postgres was made by PostgreSQL 15, this is PostgreSQL 18.")
    assert outcome.stderr.count("\n") == 1


def test_a_damaged_settings_file_gets_one_line(tmp_path: Path):
    (tmp_path / "embedded.json").write_text("{")
    outcome = Holder(tmp_path).once()
    assert outcome.stderr == f"{tmp_path}/embedded.json is damaged. Remove {tmp_path} to start afresh.\n"
