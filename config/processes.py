"""Child processes that cannot outlive their parent, and the user they run as.

PostgreSQL refuses to run as root. Under root the servers run as the owner of the checkout or,
where that is root too, as ``nobody``. Such a user may be unable to walk the path to the checkout
(``/root`` has mode 700). Nobody's home is opened for it: the server keeps the one capability that
walks past directory permissions, and nothing else of root's.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522

LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


@dataclass(frozen=True)
class RunAs:
    """The user of a server process, and the capability it needs to reach its files (or None)."""

    uid: int
    gid: int
    capability: int | None = None


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel to send us this signal when our parent ends, however it ends (Linux only)."""
    _control(PR_SET_PDEATHSIG, signal_number)


def owner_for_servers(checkout: Path, paths: Sequence[Path]) -> RunAs | None:
    """Whom the servers should run as; None means as ourselves."""
    if os.geteuid() != 0:
        return None
    uid = checkout.stat().st_uid
    try:
        account = pwd.getpwuid(uid) if uid else pwd.getpwnam("nobody")
    except KeyError:
        account = pwd.getpwnam("nobody")
    if all(_may_walk(path, account.pw_uid) for path in paths):
        return RunAs(account.pw_uid, account.pw_gid)
    return RunAs(account.pw_uid, account.pw_gid, _walking_capability())


def _may_walk(path: Path, uid: int) -> bool:
    for directory in path.resolve().parents:
        info = directory.stat()
        needed = stat.S_IXUSR if info.st_uid == uid else stat.S_IXOTH
        if not info.st_mode & needed:
            return False
    return True


def _walking_capability() -> int | None:
    """The smallest capability we hold that ignores directory permissions; None where we hold neither."""
    if not LINUX:
        return None
    status = Path("/proc/self/status").read_text()
    held = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapPrm")), 16)
    return next((c for c in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if held >> c & 1), None)


def _become(run_as: RunAs) -> None:
    """Drop from root to the user, in a child between fork and exec."""
    if run_as.capability is not None:
        _control(PR_SET_KEEPCAPS, 1)
        # Without it access(2), which initdb asks, would look at the user alone.
        _control(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(run_as.gid)
    os.setuid(run_as.uid)
    if run_as.capability is not None and _libc is not None:
        mask = 1 << run_as.capability
        header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
        data = struct.pack("=6I", mask, mask, mask, 0, 0, 0)
        # A failure must end the child here: it would still hold all of root's capabilities.
        if _libc.capset(header, data) != 0:
            raise OSError(ctypes.get_errno(), "capset")
        _control(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, run_as.capability)


def _control(option: int, first: int, second: int = 0) -> None:
    if _libc is not None and _libc.prctl(option, first, second, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _preparation(run_as: RunAs | None, death_signal: int | None) -> Callable[[], None]:
    parent = os.getpid()

    def prepare() -> None:
        if run_as is not None:
            _become(run_as)
        if death_signal is not None:
            # After the change of user, which clears it; and the parent may be gone already.
            die_with_parent(death_signal)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def start(
    arguments: Sequence[str | Path],
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    run_as: RunAs | None = None,
    death_signal: int = signal.SIGTERM,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C reaches only the parent, which then ends it in order.

    The child gets ``death_signal`` when the parent dies. Its output is appended to ``log``.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        # Our callers are single-threaded, which is what preexec_fn asks for.
        return subprocess.Popen(  # noqa: S603
            [str(argument) for argument in arguments],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment) if environment is not None else None,
            cwd=directory,
            start_new_session=True,
            preexec_fn=_preparation(run_as, death_signal),  # noqa: PLW1509
        )


def run(arguments: Sequence[str | Path], *, run_as: RunAs | None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as the user and return what it said (standard error is merged in)."""
    return subprocess.run(  # noqa: S603
        [str(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env={**os.environ, "LC_ALL": "C"},
        preexec_fn=_preparation(run_as, None),
    )


def stop(child: subprocess.Popen[bytes], signal_number: int | None = signal.SIGTERM, *, patience: float = 10.0) -> None:
    """End a child and whatever is left of its session: ask first, then insist after ``patience`` seconds.

    With ``signal_number=None`` it has been asked already.
    """
    if child.poll() is None:
        if signal_number is not None:
            child.send_signal(signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
