"""The Plug-in API server as a process of its own, empty at the beginning of each test.

    def test_something(plugin_server):
        user = plugin_server.create_user("ada")                       # {"user_id", "api_key", ...}
        plugin_server.misbehave("/api/users", method="POST", lose_answer=True)
        ... PluginClient(plugin_server.url, plugin_server.admin_key) ...
        assert plugin_server.seen()[-1]["credential"] == "admin"
        assert plugin_server.users_named("ada") == 2

A module that uses the fixtures imports both: `from tests.plugin_api import plugin_process, plugin_server`.
What `control` and `misbehave` take stands in `shared_accounts/local/plugin_server/control.py`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

_ADMIN_KEY, _CONTROL_TOKEN = "sk-admin-of-the-plugin-0123456789", "control-token-of-the-tests"


class PluginServer:
    """A running server; `url` is what `PLUGIN_API_BASE_URL` would be."""

    def __init__(self, *options: str, admin_key: str = _ADMIN_KEY) -> None:
        self.admin_key = admin_key
        command = [sys.executable, "-m", "shared_accounts.local.plugin_server", "--port", "0", *options]
        secrets = ["--admin-key", admin_key, "--control-token", _CONTROL_TOKEN]
        self._process = subprocess.Popen([*command, *secrets], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.url = self._process.stdout.readline().split()[-1]
        self._control = requests.Session()
        self._control.headers["X-Control-Token"] = _CONTROL_TOKEN

    def control(self, **switches: Any) -> None:
        """Set switches: `next`, `exhausted`, `fractions`, `image_bytes`, `old_shared_pool`, `disabled`."""
        answer = self._control.post(f"{self.url}/_control", json=switches, timeout=30)
        assert answer.ok, answer.text

    def misbehave(self, path: str = ".*", **rule: Any) -> None:
        """Have something happen to the next request for this path: `status=500`, `stall=2`, `lose_answer=True`."""
        self.control(next=[{"path": path, **rule}])

    def seen(self, path: str | None = None) -> list[dict[str, Any]]:
        """What has been asked since the reset, in order; for this path only, if there is one."""
        noted = self._told()["requests"]
        return [one for one in noted if path in {None, one["path"]}]

    def users_named(self, name: str) -> int:
        """How many users have this name."""
        return int(self._told()["users"].get(name, 0))

    def reset(self) -> None:
        """Forget every user, account, switch and note."""
        assert self._control.post(f"{self.url}/_control/reset", timeout=30).ok

    def call(self, method: str, path: str, *, key: str | None = None, **options: Any) -> requests.Response:
        """Ask as the plug-in's own client would; with the admin's key unless there is another."""
        headers = {"Authorization": f"Bearer {key or self.admin_key}", **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def create_user(self, name: str = "somebody") -> dict[str, Any]:
        """Make a user of the plug-in's; returns what the API says of her, `user_id` and `api_key` among it."""
        made: dict[str, Any] = self.call("POST", "/api/users", json={"name": name}).json()["data"]
        return made

    def add_account(self, key: str, *, is_shared: int = 0, code: str | None = None) -> dict[str, Any]:
        """Consent at the played Google for the user with this key; `code` decides who consents and how it ends."""
        started = self.call("POST", "/api/oauth/authorize", key=key, json={"is_shared": is_shared}).json()["data"]
        page = requests.get(
            started["auth_url"], params={"login_hint": code} if code else {}, allow_redirects=False, timeout=30
        )
        pasted = {"callback_url": page.headers["location"]}
        answer = self.call("POST", "/api/oauth/callback/manual", key=key, json=pasted)
        assert answer.ok, answer.text
        added: dict[str, Any] = answer.json()["data"]
        return added

    def _told(self) -> dict[str, Any]:
        answer = self._control.get(f"{self.url}/_control/seen", timeout=30)
        assert answer.ok, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process; twice is harmless."""
        self._control.close()
        self._process.send_signal(number)
        self._process.wait(30)
        if self._process.stdout:
            self._process.stdout.close()


@pytest.fixture(scope="session")
def plugin_process() -> Iterator[PluginServer]:
    """The process that all tests share."""
    made = PluginServer()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def plugin_server(plugin_process: PluginServer) -> PluginServer:
    """The server, with nobody and nothing in it."""
    plugin_process.reset()
    return plugin_process
