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
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def claim(path: Path) -> Iterator[int | None]:
    """Hold the lock for a moment, or get None while a program has it. A child started meanwhile keeps it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield handle if _locked(handle) else None
    finally:
        os.close(handle)


def signal_leader(path: Path, number: signal.Signals) -> None:
    """Signal the program that signed the lock; harmless when it has ended."""
    _signal(os.kill, path, number)


def signal_group(path: Path, number: signal.Signals) -> None:
    """Signal the program and all it forked, those who outlived it included."""
    _signal(os.killpg, path, number)


def leader_is_dead(path: Path) -> bool:
    """Say whether the program has ended, although its children may hold the lock."""
    try:
        os.kill(_pid(path), 0)
        # Nobody may have reaped it: PID 1 of a container often does not.
        return Path(f"/proc/{_pid(path)}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # no /proc, as on macOS, or gone a moment ago
        return False


def _signal(send: Callable[[int, int], None], path: Path, number: signal.Signals) -> None:
    if _pid(path) > 1:  # to `kill` 0 and 1 mean our own group and everything
        with contextlib.suppress(ProcessLookupError):
            send(_pid(path), number)


def _pid(path: Path) -> int:
    return int(path.read_text() or 0)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
