"""A whole service with a Plug-in API: somebody comes in, is provisioned, and chats by her key; no secret shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing

import psycopg2
import pytest
import redis
import requests

from shared_accounts.crypto import Vault
from shared_accounts.plugin import bindings
from tests.conftest import ROOT
from tests.gateway.scene import wait_until
from tests.gateway.server import Server
from tests.plugin.provisioned import PATIENCE, queued, start_worker, works
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["plugin_process", "plugin_server", "start_worker"]
pytestmark = pytest.mark.timeout(300)

PASSWORD = "a sentence nobody knows"
CHAT = {"messages": [{"role": "user", "content": "Say hello."}], "stream": False}


class Service:
    """A gunicorn and, once started, a worker, over a database and a broker of their own."""

    def __init__(self, environment, server, start_worker):
        self.environment = environment
        self._server = server
        self._start_worker = start_worker
        self.workers = []

    def start_worker(self):
        told = ("DATABASE_URL", "REDIS_URL", "LOG_LEVEL", "PLUGIN_API_ENCRYPTION_KEY")
        self.workers.append(self._start_worker(**{name: self.environment[name] for name in told}))

    def run(self, *arguments):
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.environment}, capture_output=True, text=True, check=True
        )

    def post(self, path, body, key=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return requests.post(self._server.url + path, json=body, headers=headers, timeout=120)

    def sign_in(self, username):
        return self.post("/api/auth/login", {"username": username, "password": PASSWORD}).json()["access_token"]

    def sign_up(self, username):
        """Come in; returns her id and an API key of hers."""
        came = self.post("/api/auth/register", {"username": username, "password": PASSWORD})
        assert came.status_code == 201, came.text
        key = self.post("/api/api-keys", {"name": "laptop"}, self.sign_in(username))
        return came.json()["user"]["id"], key.json()["key"]

    def models(self, key):
        answer = requests.get(f"{self._server.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=60)
        return [one["id"] for one in answer.json()["data"]]

    def query(self, statement):
        with closing(psycopg2.connect(self.environment["DATABASE_URL"])) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def counterpart_of(self, user_id):
        [(sealed,)] = self.query(f"select sealed_counterpart from plugin_users where user_id = {user_id}")
        return bindings.counterpart(user_id, sealed, Vault((self.environment["PLUGIN_API_ENCRYPTION_KEY"],)))

    def is_ready(self, user_id):
        return self.query(f"select state from plugin_users where user_id = {user_id}") == [("ready",)]

    def everything_stored(self):
        """Every row of every table, as text."""
        tables = self.query("select table_name from information_schema.tables where table_schema = 'public'")
        return "\n".join(row for (table,) in tables for (row,) in self.query(f'select t::text from "{table}" t'))

    def everything_in_redis(self):
        """Every key with its value."""
        with redis.Redis.from_url(self.environment["REDIS_URL"]) as connection:
            read = {
                b"string": connection.get,
                b"list": lambda key: connection.lrange(key, 0, -1),
                b"hash": connection.hgetall,
                b"set": connection.smembers,
                b"zset": lambda key: connection.zrange(key, 0, -1),
            }
            return "\n".join(f"{key} {read[connection.type(key)](key)}" for key in connection.scan_iter())

    def everything_said(self):
        """All logs."""
        return self._server.output() + "".join(worker.output() for worker in self.workers)


@pytest.fixture
def service(environment, new_database, redis_server, plugin_server, start_worker, tmp_path):
    told = {
        **environment,
        "DATABASE_URL": new_database("provisioned_live"),
        "REDIS_URL": redis_server.url(7),
        "LOG_LEVEL": "DEBUG",
        "REGISTRATION": "open",
        "SUPPLY_CACHE_SECONDS": "5",
        "PLUGIN_API_BASE_URL": plugin_server.url,
        "PLUGIN_API_ADMIN_KEY": plugin_server.admin_key,
        "ADMIN_USERNAME": "boss",
        "ADMIN_PASSWORD": PASSWORD,
    }
    server = Server(told, tmp_path / "gunicorn.log")
    server.start()
    yield Service(told, server, start_worker)
    server.stop()
    assert "Traceback" not in server.output(), server.output()[-4000:]


def test_somebody_comes_in_and_chats_and_no_secret_shows(service, plugin_server):
    service.run("users", "bootstrap")
    ada, key = service.sign_up("ada")

    # Nobody has provisioned her yet: she is told to come back.
    refused = service.post("/v1/chat/completions", {**CHAT, "model": "any"}, key)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json()["error"]["code"] == "no_account_available"
    refused = service.post("/api/plugin-api/chat/completions", {**CHAT, "model": "any"}, key)
    assert (refused.status_code, refused.json()["error_code"]) == (503, "PLUGIN_NOT_READY")
    assert {task for task, _ in queued(service.environment["REDIS_URL"])} == {"shared_accounts.provision_plugin_user"}

    service.start_worker()
    wait_until(lambda: service.is_ready(ada), "she is not provisioned", PATIENCE)
    first = service.counterpart_of(ada)
    answer = service.post("/v1/chat/completions", {**CHAT, "model": "any"}, key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")

    # There is something to ask for now.
    plugin_server.add_account(first.api_key)
    boss = service.sign_in("boss")
    assert service.post(f"/api/admin/plugin/{ada}/resync", None, boss).json()["account_id"]
    [model, *_] = service.models(key)
    answer = service.post("/v1/chat/completions", {**CHAT, "model": model}, key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]

    # The worker of the web server remembers the old key, and the account serves all the same.
    assert service.post(f"/api/admin/plugin/{ada}/rotate-key", None, boss).json()["state"] == "ready"
    second = service.counterpart_of(ada)
    assert (works(plugin_server, first.api_key), works(plugin_server, second.api_key)) == (False, True)
    answer = service.post("/v1/chat/completions", {**CHAT, "model": model}, key)
    assert answer.status_code == 200, answer.text
    assert service.query("select state from accounts") == [("active",)]

    no_secret_shows(service, plugin_server, [first, second])


def no_secret_shows(service, plugin_server, counterparts):
    """Neither in a log, nor in a row, nor in Redis, where tasks wait, too."""
    service.workers[0].stop()
    bea, key = service.sign_up("bea")
    service.post("/v1/chat/completions", {**CHAT, "model": "any"}, key)
    waiting = queued(service.environment["REDIS_URL"])
    places = [service.everything_said(), service.everything_stored(), service.everything_in_redis()]

    assert all(numbers == [bea] for _, numbers in waiting)
    for place, found in zip(places, ["provision_plugin_user", "Plug-in API", "provision_plugin_user"], strict=True):
        assert found in place
    for secret in [plugin_server.admin_key, *(part for one in counterparts for part in one)]:
        for place in [*places, json.dumps(waiting)]:
            assert secret not in place
            assert secret.encode().hex() not in place
