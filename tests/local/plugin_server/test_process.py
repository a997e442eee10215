"""The server as a program: what it needs to start, and what a file remembers for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.plugin_api import PluginServer


@pytest.mark.parametrize("farewell", [signal.SIGTERM, signal.SIGKILL])
def test_users_and_accounts_survive_in_a_file_only_the_owner_reads(tmp_path, farewell):
    kept = tmp_path / "kept"
    first = PluginServer("--keep", str(kept))
    ada = first.create_user("ada")
    account = first.add_account(ada["api_key"], is_shared=1)
    first.misbehave(status=500, times=100)
    first.stop(farewell)

    second = PluginServer("--keep", str(kept))
    try:
        (listed,) = second.call("GET", "/api/accounts", key=ada["api_key"]).json()["data"]
        bob = second.create_user("bob")
        second.add_account(bob["api_key"], is_shared=1)
        pools = [
            row["pool_id"]
            for user in (ada, bob)
            for row in second.call("GET", "/api/quotas/user", key=user["api_key"]).json()["data"]
        ]
    finally:
        second.stop()

    assert listed["cookie_id"] == account["cookie_id"]
    assert len(set(pools)) == len(pools) > 0
    assert kept.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [kept]


def test_without_an_admins_key_it_does_not_start():
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PLUGIN_")}
    command = [sys.executable, "-m", "shared_accounts.local.plugin_server", "--port", "0"]

    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2
    assert "--admin-key or PLUGIN_API_ADMIN_KEY is needed" in done.stderr


def test_it_stops_when_asked(tmp_path):
    server = PluginServer()

    server.stop()

    assert server._process.returncode == 0  # noqa: SLF001
