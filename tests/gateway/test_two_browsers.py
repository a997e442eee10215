"""Two browsers, one of them ended: its very next request is refused, whatever has become of Redis."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import closing, contextmanager

import pytest
import redis

from shared_accounts.extensions import db
from shared_accounts.local.servers import Redis, free_port
from tests import factories
from tests.factories import PASSWORD
from tests.gateway.scene import Scene

LOGIN = "/api/auth/login"


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory):
    server = Redis(tmp_path_factory.mktemp("redis"), free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_server(start_servers, own_redis):
    return start_servers(workers=2, REDIS_URL=own_redis.url())


@contextmanager
def up(server):
    yield


@contextmanager
def flushed(server):
    with redis.Redis.from_url(server.url()) as connection:
        connection.flushall()
    yield


@contextmanager
def stopped(server):
    server.stop()
    yield
    server.start()


@contextmanager
def frozen(server):
    os.kill(server.pid, signal.SIGSTOP)
    yield
    os.kill(server.pid, signal.SIGCONT)


class Browser:
    """Somebody's browser, signed in."""

    def __init__(self, server, username):
        self.server = server
        self.tokens = self.ask("POST", LOGIN, {"username": username, "password": PASSWORD})[1]

    def ask(self, method, path, body=None, token=None):
        token = token or getattr(self, "tokens", {}).get("access_token")
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        with closing(self.server.connect()) as connection:
            started = time.monotonic()
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            content = answer.read()
            # Signing in takes as long as a password's hash.
            assert path == LOGIN or time.monotonic() - started < 1, (method, path)
        return answer.status, json.loads(content)

    def status(self, path="/api/auth/me"):
        return self.ask("GET", path)[0]


@pytest.mark.parametrize("weather", [up, flushed, stopped, frozen])
def test_the_next_request_of_an_ended_session_is_refused(database, own_server, own_redis, weather):
    user = factories.user(username=f"browsing-{weather.__name__}", password=PASSWORD)
    name, _ = user.username, db.session.rollback()
    gone, here = Browser(own_server, name), Browser(own_server, name)
    for path in ("/api/auth/me", "/v1/models"):
        assert gone.status(path) == here.status(path) == 200
    (other,) = (one["id"] for one in here.ask("GET", "/api/auth/sessions")[1] if not one["is_current"])

    with weather(own_redis):
        assert here.ask("DELETE", f"/api/auth/sessions/{other}")[0] == 200

        assert gone.status() == 401
        assert gone.status("/v1/models") == 401
        refresh = {"refresh_token": gone.tokens["refresh_token"]}
        assert gone.ask("POST", "/api/auth/refresh", refresh)[0] == 401
        assert here.status() == 200


@pytest.mark.parametrize("weather", [up, flushed, stopped, frozen])
def test_the_next_request_of_a_disabled_user_is_refused(database, own_server, own_redis, weather):
    scene = Scene(own_server, f"model-{weather.__name__}")
    user = factories.user(username=f"disabled-{weather.__name__}", password=PASSWORD)
    _, key = factories.api_key(user)
    user_id, browser = user.id, Browser(own_server, user.username)
    assert browser.status() == browser.ask("GET", "/v1/models", token=key)[0] == 200

    with weather(own_redis):
        scene.change("users", user_id, state="disabled")

        assert browser.status() == 403
        assert browser.ask("GET", "/v1/models", token=key)[0] == 403
        scene.change("users", user_id, state="active")
        assert browser.status() == 200
