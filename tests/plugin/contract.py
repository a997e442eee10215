"""What the contract suite stands on: a world with either pool behind the Plug-in API's routes, and a checker of shapes.

def test_something(world):
    ada = world.member()
    world.add(ada, is_shared=1)                          # by consent, as a browser does it
    assert fits(ada.get(f"{API}/accounts").json, told([ACCOUNT]))
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
import requests
from sqlalchemy import func

from shared_accounts.accounts.consent import Consents
from shared_accounts.accounts.refresher import Refresher
from shared_accounts.accounts.trial import Trial
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.plugin import provisioning
from shared_accounts.plugin.local import Local
from shared_accounts.plugin.remote import Remote
from shared_accounts.usage.models import UsageLog
from tests import factories
from tests.accounts.oauth_server import OAuthServer
from tests.plugin.provisioned import counterpart_of, run

API = "/api/plugin-api"
SLASHED = "org/o"

Check = Callable[[Any], bool]


def units(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?\d+\.\d{4}", value) is not None


def count(value: Any) -> bool:
    return isinstance(value, str) and value.isdecimal()


def amount(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d+\.\d+", value) is not None


def moment(value: Any) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


def flag(value: Any) -> bool:
    return value in {0, 1} and not isinstance(value, bool)


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def word(value: Any) -> bool:
    return isinstance(value, str)


def truth(value: Any) -> bool:
    return isinstance(value, bool)


def name_or_number(value: Any) -> bool:
    return word(value) or whole(value)


def maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


class Each(dict):
    """A JSON object with any keys, each of whose values has this shape."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape


ONE_ACCOUNT = {
    "cookie_id": word,
    "user_id": word,
    "name": word,
    "is_shared": flag,
    "status": flag,
    "need_refresh": truth,
    "expires_at": maybe(count),
    "project_id_0": word,
    "is_restricted": truth,
    "paid_tier": maybe(truth),
    "ineligible": truth,
    "created_at": moment,
    "updated_at": moment,
}
ACCOUNT = {**ONE_ACCOUNT, "last_used_at": maybe(moment)}
ADDED = {
    "cookie_id": word,
    "user_id": word,
    "is_shared": flag,
    "project_id_0": word,
    "is_restricted": truth,
    "ineligible": truth,
    "created_at": moment,
}
MODEL_QUOTA = {
    "quota_id": whole,
    "cookie_id": word,
    "model_name": word,
    "reset_time": maybe(moment),
    "quota": units,
    "status": flag,
    "last_fetched_at": moment,
    "created_at": moment,
}
POOL = {
    "pool_id": whole,
    "user_id": word,
    "model_name": word,
    "quota": units,
    "max_quota": units,
    "last_recovered_at": moment,
    "last_updated_at": moment,
}
SHARED_QUOTA = {
    "model_name": word,
    "total_quota": units,
    "earliest_reset_time": maybe(moment),
    "available_cookies": count,
    "status": flag,
    "last_fetched_at": moment,
}
CONSUMED = {
    "total_requests": whole,
    "total_quota_consumed": plain,
    "shared_quota_consumed": plain,
    "private_quota_consumed": plain,
}
SHARED_POOL = {"quotas": [SHARED_QUOTA], "user_consumption": CONSUMED}
CALL = {
    "log_id": name_or_number,
    "user_id": word,
    "cookie_id": word,
    "model_name": word,
    "quota_before": maybe(units),
    "quota_after": maybe(units),
    "quota_consumed": units,
    "is_shared": flag,
    "consumed_at": moment,
}
STATS = {
    "total_requests": count,
    "total_quota_consumed": maybe(units),
    "avg_quota_consumed": maybe(amount),
    "last_used_at": maybe(moment),
}
PERSON = {
    "user_id": word,
    "name": word,
    "prefer_shared": flag,
    "status": flag,
    "created_at": moment,
    "updated_at": moment,
}


def told(data: Any) -> dict[str, Any]:
    """The shape of a question's answer."""
    return {"success": truth, "data": data}


def done(data: Any) -> dict[str, Any]:
    """The shape of an act's answer."""
    return {"success": truth, "message": word, "data": data}


def misfits(value: Any, shape: Any, where: str = "answer") -> list[str]:
    """Say where a JSON value has another shape: other keys, other types, other formats."""
    if isinstance(shape, Each):
        members = value.items() if isinstance(value, dict) else [("", None)]
        return [one for key, member in members for one in misfits(member, shape.shape, f"{where}.{key}")]
    if isinstance(shape, dict):
        if not isinstance(value, dict) or value.keys() != shape.keys():
            return [f"{where} has {sorted(value) if isinstance(value, dict) else value!r}, not {sorted(shape)}"]
        return [one for key in shape for one in misfits(value[key], shape[key], f"{where}.{key}")]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [one for index, row in enumerate(value) for one in misfits(row, shape[0], f"{where}[{index}]")]
    return [] if shape(value) else [f"{where} is {value!r}, no {shape.__name__}"]


def answered(answer: Any, shape: Any, status: int = 200) -> Any:
    """Check an answer's status and shape; returns its `data`."""
    assert answer.status_code == status, answer.json
    assert misfits(answer.json, shape) == []
    return answer.json.get("data")


def refusal(answer: Any) -> tuple[int, str]:
    assert answer.json["detail"] == answer.json["message"]
    return answer.status_code, answer.json["error_code"]


class World:
    """A pool, and people who use it; one subclass for each that may be behind the routes."""

    MODEL: str

    def __init__(self, sign_in: Callable[..., Any]) -> None:
        self._sign_in = sign_in

    def member(self, **about: Any) -> Any:
        """A user who is signed in and known to the pool; her client, which knows her as `user_id`."""
        user = factories.user(**{"trust_level": 1, **about})
        user_id = user.id
        client = self._sign_in(user)
        client.user_id = user_id
        db.session.rollback()
        self._receive(user_id)
        return client

    def land(self, auth_url: str, *, agree: bool = True) -> str:
        """Consent at the provider's page, or do not; returns where the browser lands."""
        raise NotImplementedError

    def add(self, client: Any, *, is_shared: int = 0) -> str:
        """Add an account by consent; returns its id."""
        begun = client.post(f"{API}/oauth/authorize", json={"is_shared": is_shared})
        assert begun.status_code == 200, begun.json
        pasted = {"callback_url": self.land(begun.json["data"]["auth_url"])}
        added = client.post(f"{API}/oauth/callback", json=pasted)
        assert added.status_code == 200, added.json
        cookie_id: str = added.json["data"]["cookie_id"]
        return cookie_id

    def consume(self, client: Any, cookie_id: str) -> None:
        """Have a call of hers served by an account of her own."""
        raise NotImplementedError

    def _receive(self, user_id: int) -> None:
        pass


class LocalWorld(World):
    MODEL = "m"

    def __init__(self, sign_in: Callable[..., Any], provider: OAuthServer) -> None:
        super().__init__(sign_in)
        self.provider = provider
        self.provider.models = ["m", "n", SLASHED]

    def land(self, auth_url: str, *, agree: bool = True) -> str:
        self.provider.subject = secrets.token_hex(4)
        landed = self.provider.consent(auth_url)
        return landed if agree else re.sub(r"code=[^&]+", "error=access_denied", landed)

    def consume(self, client: Any, cookie_id: str) -> None:
        call(client.user_id, account_id=int(cookie_id))


class RemoteWorld(World):
    MODEL = "gemini-2.5-pro"

    def __init__(self, sign_in: Callable[..., Any], plugin: Any, server: Any) -> None:
        super().__init__(sign_in)
        self.plugin, self.server = plugin, server

    def land(self, auth_url: str, *, agree: bool = True) -> str:
        asked = {} if agree else {"login_hint": "deny"}
        return requests.get(auth_url, params=asked, allow_redirects=False, timeout=30).headers["location"]

    def consume(self, client: Any, cookie_id: str) -> None:  # noqa: ARG002 - the Plug-in chooses
        asked = {"model": self.MODEL, "stream": False, "messages": [{"role": "user", "content": "hello"}]}
        answer = self.server.call("POST", "/v1/chat/completions", key=self.known(client).api_key, json=asked)
        assert answer.ok, answer.text

    def known(self, client: Any) -> Any:
        """Who she is at the Plug-in API."""
        return counterpart_of(self.plugin, client.user_id)

    def _receive(self, user_id: int) -> None:
        run(provisioning.provision(self.plugin, user_id))


def call(user_id: int, *, account_id: int, contributor_id: int | None = None, **about: Any) -> UsageLog:
    """A call that is over, as the gateway writes it down."""
    line = UsageLog(
        id=factories.exchange_id(),
        user_id=user_id,
        account_id=account_id,
        contributor_id=contributor_id or user_id,
        worker="test",
        endpoint="/v1/chat/completions",
        stream=False,
        estimate=MICRO,
        lease_until=func.now(),
        **{
            "model": "m",
            "model_group": "m",
            "state": "closed",
            "outcome": "served",
            "basis": "measured",
            "cost": 250_000,
            **about,
        },
    )
    db.session.add(line)
    db.session.commit()
    return line


@contextmanager
def behind(app: Any, pool: Any) -> Iterator[None]:
    """Put a pool behind the routes."""
    usual = app.extensions["plugin_pool"]
    app.extensions["plugin_pool"] = pool
    try:
        yield
    finally:
        app.extensions["plugin_pool"] = usual


@pytest.fixture
def local_world(app, committed, sign_in, with_settings) -> Iterator[LocalWorld]:
    """Our own pool, and a provider at which to consent."""
    provider = OAuthServer()
    parts = app.extensions
    refresher = Refresher((provider.provider(),), parts["vault"])
    trial = Trial(parts["wire"], parts["guard"], parts["vault"], refresher)
    pool = Local(trial, Consents(parts["wire"], parts["guard"], parts["vault"]))
    generous = {"upstream_oauth_providers": (provider.provider(),), "visit_limit": "1000 per minute"}
    with with_settings(**generous), behind(app, pool):
        yield LocalWorld(sign_in, provider)
    parts["wire"].sweep()
    provider.stop()


@pytest.fixture
def remote_world(app, committed, sign_in, plugin, plugin_server) -> Iterator[RemoteWorld]:
    """A Plug-in API server, of which our users know nothing."""
    with behind(app, Remote(plugin)):
        yield RemoteWorld(sign_in, plugin, plugin_server)


@pytest.fixture(params=["local", "remote"])
def world(request: pytest.FixtureRequest) -> World:
    """Either pool."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found
