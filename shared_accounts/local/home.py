"""The data folder of a local installation: everything that outlives a start, and who may use it.

It is 0700 and so are the files in it, because it holds every secret in clear. Deleting it begins anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast


class LocalError(Exception):
    """What keeps the local service from running, as a sentence for the person at the terminal."""


def prepare(home: Path) -> Path:
    """Make the folder private and usable by this user, and return its real path; refuse somebody else's."""
    home = home.resolve()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Another user's start would leave files behind that the owner could no longer read.
        if home.stat().st_uid != os.geteuid():
            raise LocalError(
                f"The data folder {home} belongs to another user; start as that user, or name another folder."
            )
        home.chmod(0o700)
        for part in ("logs", "run", "redis", "beat"):
            (home / part).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise LocalError(f"The data folder {home} cannot be used: {error.strerror}.") from error
    return home


def lock(home: Path) -> int:
    """Claim the folder for this process until it ends, however it ends; refuse while another has it."""
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise LocalError(
            f"Already running: another start uses {home}. Stop it first, or set SHARED_ACCOUNTS_HOME and PORT."
        ) from None
    return handle


def kept(home: Path) -> dict[str, str]:
    """Everything this installation made up or learnt for itself."""
    try:
        return cast("dict[str, str]", json.loads((home / "secrets.json").read_text()))
    except FileNotFoundError:
        return {}


def keep(home: Path, **values: str) -> None:
    """Remember `values` beside what is kept already, in one step: a crash leaves the old or the new."""
    write_private(home / "secrets.json", json.dumps({**kept(home), **values}, indent=2) + "\n")


def secret(home: Path, name: str, make: Callable[[], str]) -> str:
    """Return what is kept under `name`; the first call makes it."""
    if name not in kept(home):
        keep(home, **{name: make()})
    return kept(home)[name]


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step by a file only its owner can read, on disk when this returns."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
    Path(name).replace(path)
