"""Keeps the processes of a local installation running, and stops them in order.

Our own because honcho stops everything when one process ends, and circus (with ZeroMQ and Tornado) has no ordered stop
that waits for streams to drain. One thread, no pipes: programs write to their logs, the terminal is shown from there.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from shared_accounts.local.home import LocalError
from shared_accounts.local.process import Process

_ROUND = 0.1
_DEATHS_BEFORE_GIVING_UP = 5
_LONGEST_PAUSE = 30.0
_PROVED = 60.0
_ROUTINE = re.compile(r"\b(DEBUG|INFO)\b", re.IGNORECASE)


class StopRequested(Exception):
    """Somebody pressed Ctrl-C, or sent SIGTERM or SIGHUP."""


class Signals:
    """Notes requests to stop, so that they are obeyed between two steps and never in the middle of one."""

    def __init__(self) -> None:
        self.stop = False
        self.hurry = False
        self._first_interrupt: float | None = None

    def install(self) -> None:
        """Take over from Python's defaults; a SIGHUP that nohup told us to ignore stays ignored."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.stop = True
        if number != signal.SIGINT:
            return
        now = time.monotonic()
        self._first_interrupt = self._first_interrupt or now
        # One Ctrl-C may reach us twice, from the terminal and from a parent that passes it on.
        self.hurry = now - self._first_interrupt > 0.5  # noqa: PLR2004


@dataclass
class _Watch:
    process: Process
    deaths: int = 0
    born: float = 0.0
    due: float | None = None
    shown: int = 0


class Supervisor:
    """Watches what was started; `stages` is the order in which it will be stopped."""

    def __init__(self, stages: Sequence[Sequence[Process]], signals: Signals, on_restart: Callable[[], None]) -> None:
        self._stages = stages
        self._signals = signals
        self._on_restart = on_restart
        self._watched: list[_Watch] = []
        self._ready = False

    def watch(self, process: Process) -> None:
        """Start it again from now on whenever it ends."""
        self._watched.append(_Watch(process, born=time.monotonic()))

    def wait_for(self, condition: Callable[[], bool], process: Process, seconds: float = 120.0) -> None:
        """Return once the condition holds; a process that takes too long, or keeps dying, stops the start."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LocalError(f"{process.name} is not ready after {seconds:.0f} seconds; see {process.log}.")
            self.attend()

    def complete(self, process: Process) -> None:
        """Run a program to its end; its failure stops the start."""
        process.start()
        while process.alive:
            self.attend()
        if process.status != 0:
            raise LocalError(f"{process.name} failed; see {process.log}:\n{process.last_words()}")

    def run(self) -> None:
        """Restart what dies and show what the programs have to say, until somebody asks to stop."""
        self._ready = True
        for watch in self._watched:
            watch.shown = watch.process.log.stat().st_size
        while True:
            self.attend()

    def attend(self) -> None:
        """Go one round, and rest a little."""
        if self._signals.stop:
            raise StopRequested
        for watch in self._watched:
            self._tend(watch)
            if self._ready:
                _show(watch)
        time.sleep(_ROUND)

    def stop(self) -> None:
        """Stop stage after stage; each gets its time, unless a second Ctrl-C says hurry. Safe at any moment."""
        for stage in self._stages:
            running = [process for process in stage if process.pid]
            for process in running:
                process.send(process.farewell)
            for process in running:
                self._see_out(process)

    def _see_out(self, process: Process) -> None:
        deadline = time.monotonic() + process.patience
        while not process.gone:
            hurried = self._signals.hurry and not process.keeps_data
            if hurried or time.monotonic() > deadline:
                process.kill()
                return
            time.sleep(_ROUND / 4)

    def _tend(self, watch: _Watch) -> None:
        now = time.monotonic()
        if watch.process.alive:
            if now - watch.born > _PROVED:
                watch.deaths = 0
        elif watch.due is None:
            self._mourn(watch)
        elif now >= watch.due:
            self._revive(watch)

    def _mourn(self, watch: _Watch) -> None:
        process = watch.process
        watch.deaths += 1
        if not self._ready and watch.deaths >= _DEATHS_BEFORE_GIVING_UP:
            raise LocalError(f"{process.name} keeps ending; see {process.log}:\n{process.last_words()}")
        pause = min(2.0 ** (watch.deaths - 1), _LONGEST_PAUSE)
        watch.due = time.monotonic() + pause
        say(f"{process.name} ended unexpectedly ({process.status}), see {process.log}; restarting it in {pause:.0f} s")
        if not process.keeps_data:
            process.kill()  # children of a dead leader would keep its port

    def _revive(self, watch: _Watch) -> None:
        watch.due, watch.born = None, time.monotonic()
        try:
            watch.process.start()
        except LocalError as error:
            say(str(error))  # the next round counts it as one more death
        self._on_restart()


def say(text: str) -> None:
    """Tell the person at the terminal, if there still is one."""
    with suppress(OSError):
        print(text, flush=True)


def _show(watch: _Watch) -> None:
    """Pass on what deserves attention; the rest is in the log."""
    with watch.process.log.open("rb") as log:
        if log.seek(0, 2) < watch.shown:
            watch.shown = 0  # a new log was begun
        log.seek(watch.shown)
        whole_lines = log.read().rpartition(b"\n")[0:2]
    text = b"".join(whole_lines)
    watch.shown += len(text)
    for line in text.decode(errors="replace").splitlines():
        if line.strip() and not _ROUTINE.search(line):
            say(f"{watch.process.name:<8} | {line}")
