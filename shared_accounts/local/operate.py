"""Run an operator's command against the local installation: `./run.sh flask users create alice`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from dotenv import dotenv_values

from shared_accounts.local import home
from shared_accounts.local.plan import DEFAULTS, REPOSITORY


def main() -> int:
    """Become the `flask` command with the running installation's settings; returns 1 when nothing is running."""
    chosen = {k: v for k, v in {**dotenv_values(REPOSITORY / ".env"), **os.environ}.items() if v}
    folder = Path(chosen.get("SHARED_ACCOUNTS_HOME") or REPOSITORY / ".local")
    try:
        ready = json.loads((folder / "ready.json").read_text())
    except FileNotFoundError:
        print("run.sh: nothing is running here; start it with ./run.sh first.", file=sys.stderr)
        return 1
    servers = {"DATABASE_URL": ready["database_url"], "REDIS_URL": ready["redis_url"]}
    if "plugin_api_base_url" in ready:
        servers["PLUGIN_API_BASE_URL"] = ready["plugin_api_base_url"]
    settings = {**DEFAULTS, "LOG_LEVEL": "WARNING", **home.kept(folder), **chosen, **servers}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *sys.argv[1:]]
    return os.execve(sys.executable, command, settings)  # noqa: S606 - the operator's own command


if __name__ == "__main__":
    sys.exit(main())
