"""A lock file that tells whether a program lives, and which process it is.

A pid file alone lies after a crash: nobody removed it, and the kernel may have given the number to a stranger. So the
program, and all it forks, inherit an flock on the file with its number: while the file is locked somebody is there and
the number is true; once it is free nobody is. That makes what a killed launcher left behind safe to find and to end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def claim(path: Path) -> Iterator[int | None]:
    """Hold the lock for a moment, or get None while a program has it. A child started meanwhile keeps it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield handle if _locked(handle) else None
    finally:
        os.close(handle)


def signal_holder(path: Path, number: signal.Signals) -> None:
    """Signal the program, but its children where it died before them; SIGKILL goes to all of them anyway."""
    pid = int(path.read_text() or 0)
    if pid <= 1:  # to `kill` these mean our own group and everything
        return
    with contextlib.suppress(ProcessLookupError):
        if number is signal.SIGKILL or _is_dead(pid):
            os.killpg(pid, number)
        else:
            os.kill(pid, number)


def _is_dead(pid: int) -> bool:
    """Say whether the process has ended; one that nobody reaped (PID 1 of a container may not) could be signalled."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # no /proc, as on macOS, or gone a moment ago
        return False


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
