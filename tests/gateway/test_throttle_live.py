"""The sign-in throttle over real workers: it outlives them, and believes only the proxies it was told of."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from functools import cache

import pytest

from shared_accounts.extensions import db
from shared_accounts.local.servers import Redis, free_port
from tests import factories
from tests.factories import PASSWORD


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory):
    server = Redis(tmp_path_factory.mktemp("redis"), free_port())
    server.start()
    yield server
    server.stop()


def log_in(server, username, password="wrong", **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection.request("POST", "/api/auth/login", json.dumps({"username": username, "password": password}), sent)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def somebody(name):
    factories.user(username=name, password=PASSWORD)
    db.session.rollback()


def test_wrong_guesses_are_remembered_by_workers_that_were_not_there(database, start_servers, own_redis):
    somebody("guessed-at")
    somebody("somebody-else")
    first = start_servers(workers=2, REDIS_URL=own_redis.url())
    assert [log_in(first, "guessed-at") for _ in range(5)] == [401] * 5
    first.stop()

    second = start_servers(workers=1, REDIS_URL=own_redis.url())

    assert log_in(second, "guessed-at", PASSWORD) == 429
    assert log_in(second, "somebody-else", PASSWORD) == 200


@pytest.fixture(scope="module")
def behind(start_servers, own_redis):
    """Give a server that was told of so many proxies."""
    return cache(lambda proxies: start_servers(workers=1, REDIS_URL=own_redis.url(), TRUSTED_PROXIES=proxies))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        # Nobody was announced: whatever a client claims, it is one address.
        (0, lambda n: f"198.51.100.{n}", 429),
        # One proxy of ours wrote the last hop; what stands before it is the client's own invention.
        (1, lambda n: f"198.51.100.{n}, 203.0.113.7", 429),
        (1, lambda n: f"203.0.113.7, 198.51.100.{n}", 401),
    ],
    ids=["no proxy", "one proxy, invented hops", "one proxy, real addresses"],
)
def test_an_address_is_believed_only_from_announced_proxies(database, behind, proxies, forwarded, expected):
    name = f"behind-{proxies}-{expected}"

    statuses = [log_in(behind(proxies), name, X_Forwarded_For=forwarded(n)) for n in range(1, 7)]

    assert statuses == [401] * 5 + [expected]
