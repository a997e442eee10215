"""Install what we are compared with, outside our own environment: under bench/build, which git ignores.

What can't be had is said plainly, once, and left out of the comparison.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
PYTHON = sys.executable
_HERE = Path(__file__).parent
BUILD = _HERE.parent / "build"
_PATIENCE = 600


@functools.cache
def nginx() -> bool:
    """Have nginx, from Debian's packages where we may."""
    if shutil.which("nginx", path=PATH) is None and shutil.which("apt-get") and os.geteuid() == 0:
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", "nginx-light"]):
            if not _done("nginx", command, env=environ):
                return False
    if shutil.which("nginx", path=PATH) is None:
        print("nginx can't be had: install it first (Debian, Ubuntu: sudo apt-get install nginx-light).")
        return False
    return True


@functools.cache
def litellm() -> Path | None:
    """Return LiteLLM's program, from PyPI."""
    folder = BUILD / "litellm"
    program = folder / "bin" / "litellm"
    if not _fresh(folder, _HERE / "litellm.txt", program):
        venv = [PYTHON, "-m", "venv", "--clear", str(folder)]
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--only-binary", ":all:", "-qq"]
        if not (_done("LiteLLM", venv) and _done("LiteLLM", [*pip, "-r", str(_HERE / "litellm.txt")])):
            return None
        shutil.copy(_HERE / "litellm.txt", folder)
    print("LiteLLM runs without a database: its client fetches a program from its maker's server, not from PyPI.")
    return program


@functools.cache
def portkey() -> Path | None:
    """Return Portkey's server, a file for node, from npm."""
    if not shutil.which("node") or not shutil.which("npm"):
        print("Portkey can't be had: it needs node and npm.")
        return None
    folder = BUILD / "portkey"
    server = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not _fresh(folder, _HERE / "package.json", server):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(_HERE / "package.json", folder)
        if not _done("Portkey", ["npm", "install", "--omit=dev", "--ignore-scripts", "--no-audit"], cwd=folder):
            return None
    return server


def _fresh(folder: Path, wanted: Path, product: Path) -> bool:
    copy = folder / wanted.name
    return product.exists() and copy.exists() and copy.read_bytes() == wanted.read_bytes()


def _done(name: str, command: list[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> bool:
    print(f"{name}: {' '.join(command[:4])} ...", flush=True)
    try:
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        print(f"{name} can't be had: it took more than {_PATIENCE} seconds.")
        return False
    if done.returncode:
        print(f"{name} can't be had: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.returncode == 0
