"""Run other people's tools against the gateway: `./compat.sh`, or `./compat.sh codex claude` for some of them.

A gateway of its own is started with `./run.sh`, unless COMPAT_BASE_URL and COMPAT_KEY name one that serves the demo as
`demo`. Needs npm; the tools are installed into `.compat/`, with a Node.js that is new enough for them, 1.3 GB in all.
Ends with exit status 1 when any of them fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared_accounts.local.servers import free_port
from tests.compat.tools import TOOLS, Gateway
from tests.conftest import ROOT

HERE, FOLDER = Path(__file__).parent, ROOT / ".compat"
_SLOWEST_START = 300
_PORTS = ("PORT", "DEMO_PORT", "POSTGRES_PORT", "REDIS_PORT")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="compat.sh", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("tools", nargs="*", help=f"some of: {', '.join(TOOLS)}")
    wanted = parser.parse_args().tools or list(TOOLS)
    if unknown := set(wanted) - set(TOOLS):
        parser.error(f"no such tool: {', '.join(sorted(unknown))}")
    install()
    with gateway() as ours:
        verdicts = {name: tries(name, ours) for name in wanted}
    for name, wrong in verdicts.items():
        print(f"{'FAIL' if wrong else 'PASS'}  {name}{f': {wrong}' if wrong else ''}")
    return int(any(verdicts.values()))


def install() -> None:
    """Have every tool in a folder of its own, beside the scripts that use them."""
    if shutil.which("npm") is None:
        sys.exit("compat.sh: npm is needed to install the tools (Debian: apt-get install npm).")
    FOLDER.mkdir(exist_ok=True)
    for path in [HERE / "package.json", *HERE.glob("*.mjs")]:
        shutil.copy(path, FOLDER)
    print(f"Installing the tools into {FOLDER} ...", flush=True)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=FOLDER, check=True)


@contextmanager
def gateway() -> Iterator[Gateway]:
    """The gateway that was named, or one for the length of this run."""
    if "COMPAT_BASE_URL" in os.environ:
        yield Gateway(os.environ["COMPAT_BASE_URL"], os.environ["COMPAT_KEY"], FOLDER)
        return
    with tempfile.TemporaryDirectory(prefix="compat-") as home:
        ports = {name: str(free_port()) for name in _PORTS}
        environment = {**os.environ, **ports, "SHARED_ACCOUNTS_HOME": home}
        print("Starting a gateway ...", flush=True)
        with subprocess.Popen(["./run.sh"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                facts = ready(process, Path(home) / "ready.json")
                yield Gateway(facts["base_url"], facts["api_key"], FOLDER)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def ready(process: subprocess.Popen[bytes], path: Path) -> dict[str, str]:
    """Wait for what `./run.sh` writes last."""
    deadline = time.monotonic() + _SLOWEST_START
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("compat.sh: the gateway did not start; ./run.sh says why.")
        time.sleep(0.2)
    facts: dict[str, str] = json.loads(path.read_text())
    return facts


def tries(name: str, ours: Gateway) -> str:
    """Return what went wrong with a tool; nothing is good news."""
    print(f"\n-- {name}", flush=True)
    try:
        TOOLS[name](ours)
    except (AssertionError, subprocess.SubprocessError) as error:
        return str(error) or "it failed"
    return ""


if __name__ == "__main__":
    sys.exit(main())
