"""Real processes, small ones: `python` programs that write, sleep, ignore signals or die."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared_accounts.local import home
from shared_accounts.local.process import Process

STAYS = "import time; print('up', flush=True); time.sleep(100)"
DIES = "print('I cannot work like this'); raise SystemExit(3)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(100)"
)
PARENT = """
import os, time
if os.fork() == 0:
    time.sleep(100)
print('up', flush=True)
time.sleep(100)
"""

# Importing any part of the package imports the application, which takes longer than these tests do.
WITHOUT_APPLICATION = f"""
import os, pathlib, sys, types
bare = sys.modules["shared_accounts"] = types.ModuleType("shared_accounts")
bare.__path__ = [{str(Path(home.__file__).parents[1])!r}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder."""
    return home.prepare(tmp_path / "home")


@pytest.fixture
def program(folder: Path) -> Iterator[Callable[..., Process]]:
    """Make a process that runs a line of Python; whatever is still running after the test is killed."""
    made: list[Process] = []

    def make(code: str = STAYS, name: str = "program", **changes: object) -> Process:
        log, lock = folder / "logs" / f"{name}.log", folder / "run" / f"{name}.pid"
        command = [sys.executable, "-S", "-c", code]
        process = Process(name=name, command=command, directory=folder, log=log, lock=lock, **changes)  # type: ignore[arg-type]
        made.append(process)
        return process

    yield make
    for process in made:
        process.kill()
