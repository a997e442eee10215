"""What a new user would do first, done over real HTTP: sign in, contribute the demo upstream, make an API key.

None of it is vital: a step that is refused (the admin has changed her password, say) is reported and the start goes on.
"""

from __future__ import annotations

import time
from typing import Any

import requests

from shared_accounts.local import home
from shared_accounts.local.plan import Plan

_DEMO_NAME = "Demo upstream (not a real model)"
_KEY_NAME = "First key"
_CREATED = frozenset({200, 201})


class Refused(Exception):
    """A step was refused; the message says which and how."""


class FirstSteps:
    """Taken once; later starts only see that they were."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy for the internet has no business between us and ourselves

    @property
    def key(self) -> str | None:
        """The key these steps made last; None before that."""
        return home.kept(self._plan.home).get("API_KEY")

    def take(self) -> None:
        """Leave the demo contributed and a working key kept; raises `Refused` with the reason when that cannot be.

        While the kept key works nothing is touched: a user who withdrew the demo does not get it back.
        """
        try:
            if self._models() is not None and home.kept(self._plan.home).get("DEMO_BASE_URL") == self._plan.demo_url:
                return
            self._sign_in()
            self._contribute()
            if self._models() is None:
                self._make_key()
            self._await_model()
        except requests.RequestException as error:
            raise Refused(f"the web server did not answer ({type(error).__name__})") from error

    def _sign_in(self) -> None:
        settings = self._plan.settings
        who = {"username": settings["ADMIN_USERNAME"], "password": settings["ADMIN_PASSWORD"]}
        answer = self._call("signing in as the admin", "POST", "/api/auth/login", who)
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def _contribute(self) -> None:
        mine = self._call("listing the accounts", "GET", "/api/accounts?page_size=200")
        if not any(account["base_url"].rstrip("/") == self._plan.demo_url for account in mine):
            demo = {"name": _DEMO_NAME, "base_url": self._plan.demo_url, "api_key": "demo", "sharing": "shared"}
            body = {**demo, "models": ["demo"]}
            # A conflict says that it is there already, brought by another user.
            self._call("contributing the demo upstream", "POST", "/api/accounts", body, fine=_CREATED | {409})
        home.keep(self._plan.home, DEMO_BASE_URL=self._plan.demo_url)

    def _make_key(self) -> None:
        made = self._call("making an API key", "POST", "/api/api-keys", {"name": _KEY_NAME})
        home.keep(self._plan.home, API_KEY=made["key"])

    def _await_model(self, seconds: float = 15.0) -> None:
        """Wait until the demo has proved itself, so that the printed command works at once."""
        deadline = time.monotonic() + seconds
        while "demo" not in (self._models() or ()):
            if time.monotonic() > deadline:
                raise Refused("the demo upstream was contributed but does not serve yet; see its page in the console")
            time.sleep(0.1)

    def _models(self) -> list[str] | None:
        """Return what the kept key can use; None when there is no key or it no longer works."""
        if not self.key:
            return None
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = self._http.get(f"{self._plan.url}/v1/models", headers=headers, timeout=20)
        return [model["id"] for model in answer.json()["data"]] if answer.ok else None

    def _call(
        self, step: str, method: str, path: str, body: dict[str, Any] | None = None, *, fine: frozenset[int] = _CREATED
    ) -> Any:
        answer = self._http.request(method, self._plan.url + path, json=body, timeout=20)
        if answer.status_code not in fine:
            raise Refused(f"{step} was answered with {answer.status_code}")
        return answer.json()
