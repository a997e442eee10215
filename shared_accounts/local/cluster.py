"""Where the private PostgreSQL keeps its data, and how that comes to be.

For an ordinary user it is the folder `postgres` in the data folder. PostgreSQL refuses to run as root, so for root it
runs as `nobody`; and because that user can pass neither /root nor a 0700 folder, its programs and its data then lie
under /var/lib/shared_accounts. There each data folder has a cluster of its own, and `postgres` is a link to it:
deleting the data folder still means beginning anew, although the old cluster then has to be removed by hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from shared_accounts.local.home import LocalError
from shared_accounts.local.process import Owner, as_user
from shared_accounts.local.programs import system_folder

USER = "shared_accounts"


def place(home: Path) -> Path:
    """Return the folder for the database of this data folder, made where it is missing."""
    link = home / "postgres"
    if os.geteuid() != 0:
        link.mkdir(mode=0o700, exist_ok=True)
        return link
    if not link.is_dir():
        link.unlink(missing_ok=True)
        # Root's own, so that what root writes in it cannot be led astray; only `data` belongs to the server.
        folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=system_folder()))
        folder.chmod(0o711)
        (folder / "home").write_text(str(home))
        link.symlink_to(folder)
    return _own(link.resolve(), home)


def initialise(folder: Path, programs: Path, owner: Owner | None, password: str) -> None:
    """Make the cluster unless it is there; one that was interrupted is thrown away and made again."""
    data, half = folder / "data", folder / "data.new"
    if data.is_dir():
        return
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=folder) as secret:
        secret.write(password)
        secret.flush()
        if owner:
            os.chown(half, *owner)
            os.chown(secret.name, *owner)
        _initdb([programs / "initdb", "-D", half, f"--pwfile={secret.name}"], owner)
    half.rename(data)
    _sync(folder)


def _initdb(command: list[Path | str], owner: Owner | None) -> None:
    # The built-in provider knows every letter's lower case, so that "É" and "é" are one user name.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    settings = (*locale, "--auth=scram-sha-256", f"--username={USER}", "--no-instructions")
    # A session of its own: Ctrl-C is for the launcher, which then stops in order. cwd: `nobody` cannot stand in ours.
    done = subprocess.run(
        [*command, *settings], check=False, cwd="/", capture_output=True, start_new_session=True, **as_user(owner)
    )
    if done.returncode != 0:
        raise LocalError(f"PostgreSQL's initdb failed: {done.stderr.decode(errors='replace').strip()}")


def _own(folder: Path, home: Path) -> Path:
    """Refuse a copied data folder: two servers on one cluster would destroy it. A moved one is fine."""
    other = (folder / "home").read_text()
    if other != str(home) and Path(other, "postgres").resolve() == folder:
        raise LocalError(
            f"{home} is a copy of {other}, and both name the database in {folder}. Delete {home} to begin anew."
        )
    (folder / "home").write_text(str(home))
    return folder


def _sync(folder: Path) -> None:
    """Put the rename on disk: after a power loss the old name would be taken for an interrupted cluster."""
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
