"""One program run as a child: its own session, its output in a log, and a lock that tells whether it lives."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from shared_accounts.local import pidlock
from shared_accounts.local.home import LocalError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_LOG_LIMIT = 10 * 1024 * 1024
_GLANCE = 0.02


class Owner(NamedTuple):
    """The user a program runs as."""

    uid: int
    gid: int


def as_user(owner: Owner | None) -> dict[str, Any]:
    """Return the arguments that make `subprocess` run a program as `owner`, with none of our own groups."""
    return {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner else {}


@dataclass(kw_only=True, eq=False)
class Process:
    """A program that can be started again and again, one at a time.

    Start it from a thread that lives on: on Linux it is told to stop when the thread that started it ends.
    """

    name: str
    command: Sequence[str | Path]
    directory: Path
    log: Path
    lock: Path
    environment: Mapping[str, str] | None = None
    owner: Owner | None = None
    farewell: signal.Signals = signal.SIGTERM
    patience: float = 40.0
    keeps_data: bool = False
    """Never killed because somebody is in a hurry."""
    before: Callable[[], None] = field(default=lambda: None)
    """Runs before each start, when surely nothing of an earlier run is left."""

    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _log_start: int = field(default=0, init=False)

    @property
    def pid(self) -> int | None:
        """The latest process; it may be dead."""
        return self._child.pid if self._child else None

    @property
    def status(self) -> int | None:
        """How it ended, as `subprocess` says it; None while it runs and before."""
        return self._child.poll() if self._child else None

    @property
    def alive(self) -> bool:
        """False before the first start, too."""
        return self._child is not None and self._child.poll() is None

    @property
    def gone(self) -> bool:
        """True once the program and everything it forked have ended."""
        if self.alive:
            return False
        with pidlock.claim(self.lock) as lock:
            return lock is not None

    def start(self) -> None:
        """Run the program; what an earlier run left is stopped first."""
        self.end_leftover()
        with pidlock.claim(self.lock) as lock:
            if lock is None:
                raise LocalError(f"An earlier {self.name} keeps running; see {self.lock} for its process id.")
            self.before()
            os.ftruncate(lock, 0)
            with self._open_log() as log:
                self._child = self._spawn(lock, log.fileno())

    def stop(self) -> None:
        """Ask the program to end, wait, then insist; harmless when it does not run."""
        self.send(self.farewell)
        if self._child and not self.wait(self.patience):
            self.kill()

    def send(self, number: signal.Signals) -> None:
        """Signal the program, not what it forked; harmless when it does not run."""
        if self._child:
            self._child.send_signal(number)

    def kill(self) -> None:
        """End the program and all of its group at once; harmless when nothing of it is left."""
        if self._child and not self.gone:
            pidlock.signal_group(self.lock, signal.SIGKILL)
            self.wait(10)

    def wait(self, seconds: float) -> bool:
        """Return True as soon as nothing of it is left, False when that takes longer."""
        return _come_true(lambda: self.gone, seconds)

    def end_leftover(self) -> None:
        """Stop what a killed launcher, or this program's own death, left running."""
        if self.alive or self.gone:
            return
        pidlock.signal_leader(self.lock, self.farewell)
        _come_true(lambda: self.gone or pidlock.leader_is_dead(self.lock), self.patience)
        for number in (self.farewell, signal.SIGKILL):
            if self.wait(1):
                return
            pidlock.signal_group(self.lock, number)
        self.wait(10)

    def output(self) -> str:
        """Return what the program said since its latest start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def last_words(self, lines: int = 12) -> str:
        """Return the end of what the program said, indented for the terminal."""
        return "\n".join(f"  {line}" for line in self.output().strip().splitlines()[-lines:])

    def _spawn(self, lock: int, log: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [str(part) for part in self.command],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the launcher, which then stops in order
                pass_fds=(lock,),
                preexec_fn=self._introduce(lock),  # noqa: PLW1509 - the launcher has one thread
                **as_user(self.owner),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise LocalError(f"{self.name} cannot be started ({self.command[0]}): {error}.") from error

    def _introduce(self, lock: int) -> Callable[[], None]:
        """Have the child sign the lock itself and, on Linux, ask to be told when we are killed."""

        def introduce() -> None:
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            if _libc:
                _libc.prctl(_PR_SET_PDEATHSIG, int(self.farewell))

        return introduce

    def _open_log(self) -> BinaryIO:
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        log = os.fdopen(os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
        self._log_start = log.tell()
        return log


def _come_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_GLANCE)
    return True
