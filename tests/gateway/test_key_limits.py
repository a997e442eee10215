"""What an API key may do, at a real gunicorn whose two workers remember callers longer than any of these tests takes."""

from __future__ import annotations

import http.client
import os
import re
import signal
import time
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta

import pytest
import redis
from sqlalchemy import text

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.gateway import books
from shared_accounts.keys import keyring
from shared_accounts.keys.models import ApiKey
from shared_accounts.local.servers import Redis, free_port
from shared_accounts.quotas import rule_changes
from tests import factories
from tests.gateway.scene import CHAT, COST, PLUGIN_CHAT, Scene, at_once, rows, wait_until
from tests.keys import held
from tests.upstream import answers, drips, refuses

MODELS = "/v1/models"


@pytest.fixture
def key_id(scene):
    """The scene's key, known to both workers before anything is laid down for it."""
    return rows("select id from api_keys where fingerprint = :it", it=keyring.fingerprint_of(scene.key))[0]["id"]


@pytest.fixture
def serving(scene, upstream):
    """An upstream that answers, its account shared."""
    server = upstream(answers())
    scene.account(server)
    return server


@pytest.fixture
def lay_down(key_id):
    def change(**changes):
        held.lay_down(key_id, **changes)
        db.session.rollback()

    return change


def ask_everybody(scene, **fields):
    """Ask often enough for both workers to be met."""
    return [scene.ask(**fields) for _ in range(8)]


def statuses(replies):
    return dict(Counter(reply.status for reply in replies))


def units(micro):
    return f"{micro // MICRO}.{micro % MICRO // 100:04d}"


# Models


def test_a_key_asks_only_for_the_models_it_may_from_the_next_request_on(scene, serving, lay_down):
    assert statuses(ask_everybody(scene)) == {200: 8}

    lay_down(models=["another"])

    for reply in ask_everybody(scene):
        assert (reply.status, reply.error["type"], reply.error["param"]) == (403, "permission_error", "model")
        assert scene.model in reply.error["message"]
        assert reply.error["allowed_models"] == ["another"]
    lay_down(models=["another", scene.model])
    assert statuses(ask_everybody(scene)) == {200: 8}
    assert len(serving.requests) == 16


def test_a_model_that_nobody_serves_is_refused_before_it_is_looked_for(scene, serving, lay_down):
    lay_down(models=[scene.model])

    assert [scene.ask(model="nobody-has-this", path=path).status for path in (CHAT, PLUGIN_CHAT)] == [403, 403]


def test_an_alias_is_a_name_of_its_own(scene, serving, lay_down):
    alias = f"{scene.model}-fast"
    rule_changes.make_alias(alias, scene.model)
    db.session.commit()

    lay_down(models=[alias])

    wait_until(lambda: scene.ask(model=alias).status == 200, "no worker has heard of the alias")
    assert statuses(ask_everybody(scene)) == {403: 8}
    lay_down(models=[scene.model])
    assert statuses(ask_everybody(scene)) == {200: 8}
    # A worker that remembers the key as it was, and has not heard of the alias yet, finds that nobody serves it: 404.
    wait_until(lambda: statuses(ask_everybody(scene, model=alias)) == {403: 8}, "the alias is not refused")


def test_the_list_of_models_holds_those_the_key_may_ask_for(scene, serving, upstream, lay_down):
    scene.account(upstream(answers()), models=[f"{scene.model}-other"])
    names = {scene.model, f"{scene.model}-other"}

    def listed():
        return {one["id"] for one in scene.ask(path=MODELS, method="GET", raw=b"").json["data"]} & names

    assert listed() == names
    lay_down(models=[scene.model])
    assert listed() == {scene.model}
    assert scene.ask(path=f"{MODELS}/{scene.model}", method="GET", raw=b"").status == 200
    assert scene.ask(path=f"{MODELS}/{scene.model}-other", method="GET", raw=b"").status == 404


# Addresses


@pytest.mark.parametrize(
    ("addresses", "status"),
    [
        (["127.0.0.1"], 200),
        (["203.0.113.0/24", "127.0.0.0/8"], 200),
        (["::1", "203.0.113.7"], 403),
        (["0.0.0.0/0"], 200),
        (["::/0"], 403),
    ],
)
def test_a_key_is_used_only_from_the_addresses_it_may(scene, serving, lay_down, addresses, status):
    assert scene.ask().status == 200

    lay_down(addresses=addresses)

    assert statuses(ask_everybody(scene)) == {status: 8}
    assert scene.ask(path=MODELS, method="GET", raw=b"").status == status
    forged = scene.headers(x_forwarded_for="203.0.113.7", x_real_ip="203.0.113.7", forwarded="for=203.0.113.7")
    assert scene.ask(headers=forged).status == status
    if status == 403:
        assert scene.ask().error["type"] == "permission_error"


@pytest.fixture(scope="module")
def behind_a_proxy(start_servers):
    return start_servers(workers=1, TRUSTED_PROXIES=1)


@pytest.mark.parametrize(
    ("hops", "status"),
    [
        ("203.0.113.9", 200),
        ("198.51.100.1, 203.0.113.9", 200),
        ("::ffff:203.0.113.9", 200),
        ("2001:db8::7", 200),
        ("203.0.113.9, 198.51.100.1", 403),
        ("2001:db9::7", 403),
        ("unknown", 403),
        ("203.0.113.9:4711", 403),
    ],
)
def test_behind_announced_proxies_the_hop_they_saw_counts(database, behind_a_proxy, upstream, hops, status):
    scene = Scene(behind_a_proxy, f"proxied-{time.monotonic_ns()}")
    scene.account(upstream(answers()))
    held.lay_down(key_of(scene), addresses=["203.0.113.0/24", "2001:db8::/32"])

    assert scene.ask(headers=scene.headers(x_forwarded_for=hops)).status == status


def key_of(scene):
    return rows("select id from api_keys where fingerprint = :it", it=keyring.fingerprint_of(scene.key))[0]["id"]


# Pace


def test_requests_per_minute_are_counted_for_the_key_over_all_workers(scene, serving, lay_down):
    other = factories.api_key(scene.user)[1]
    lay_down(requests_per_minute=3)

    replies = ask_everybody(scene)

    assert [reply.status for reply in replies] == [200] * 3 + [429] * 5
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies[:4]] == ["2", "1", "0", "0"]
    assert {reply.headers["x-ratelimit-limit-requests"] for reply in replies} == {"3"}
    refused = replies[-1]
    assert refused.error["code"] == "rate_limit_exceeded"
    assert refused.error["limit"]["name"] == "requests_per_minute"
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert re.fullmatch(r"\d+s|1m\ds", refused.headers["x-ratelimit-reset-requests"])
    assert scene.ask(key=other).status == 200
    assert len(serving.requests) == 4


def test_streams_tell_how_the_limits_stand_as_well(scene, serving, lay_down):
    lay_down(requests_per_minute=5, tokens_per_minute=10_000)

    reply = scene.ask(stream=True)

    assert reply.headers["x-ratelimit-remaining-requests"] == "4"
    assert 9_000 < int(reply.headers["x-ratelimit-remaining-tokens"]) < 10_000


@pytest.fixture
def trusted_for_a_minute():
    """A trust level whose members may send so many requests a minute."""
    level = 3

    def limit(value):
        change = text(f"update trust_levels set requests_per_minute = :value where level = {level}")
        db.session.execute(change, {"value": value})
        db.session.commit()
        return level

    yield limit
    limit(None)


def test_a_user_and_her_key_are_counted_each_for_itself(scene, serving, trusted_for_a_minute):
    user, key = scene.somebody(trust_level=trusted_for_a_minute(6))
    factories.quota_pool(user, model_group=scene.model)
    (row,) = rows("select id from api_keys where user_id = :id", id=user.id)
    held.lay_down(row["id"], requests_per_minute=4, tokens_per_minute=100_000)
    other = factories.api_key(user)[1]

    hers = [scene.ask(key=key) for _ in range(5)]

    assert [reply.status for reply in hers] == [200] * 4 + [429]
    assert hers[-1].error["limit"]["name"] == "requests_per_minute"
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in hers] == ["3", "2", "1", "0", "0"]
    assert [scene.ask(key=other).status for _ in range(2)] == [200, 429]


def test_a_key_without_a_pace_tells_no_figures(scene, serving):
    assert not [name for name in scene.ask().headers if name.lower().startswith("x-ratelimit")]


def test_tokens_count_by_the_estimate_until_the_true_number_is_known(scene, upstream, lay_down):
    server = upstream(drips(0.2))
    scene.account(server)
    lay_down(tokens_per_minute=1500)

    with scene.stream(max_tokens=1000):
        refused = scene.ask(max_tokens=1000)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert refused.error["limit"]["name"] == "tokens_per_minute"
        assert 1 <= int(refused.headers["retry-after"]) <= 61
        assert refused.headers["x-ratelimit-remaining-tokens"] == str(refused.error["limit"]["remaining"])
    server.plays(answers())
    scene.last_line()

    # 150 tokens each, however many they were expected to take; what was refused has taken nothing.
    wait_until(lambda: scene.ask(max_tokens=1000).status == 200, "nothing was given back")
    wait_until(lambda: scene.ask(max_tokens=1000).status == 200, "the second was counted as expected")


def test_what_no_upstream_served_takes_no_tokens(scene, upstream, lay_down):
    server = upstream(refuses(400))
    scene.account(server)
    lay_down(tokens_per_minute=1500)

    assert [scene.ask(max_tokens=1000).status for _ in range(4)] == [400] * 4


def test_a_request_that_never_fits_a_minute_is_told_so(scene, serving, lay_down):
    lay_down(tokens_per_minute=500)

    refused = scene.ask(max_tokens=1000)

    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert "500 a minute" in refused.error["message"]
    assert serving.requests == []
    assert scene.ask(max_tokens=10).status == 200


@pytest.fixture
def own_redis(tmp_path):
    server = Redis(tmp_path, free_port())
    server.start()
    yield server
    server.stop()


def test_without_redis_each_worker_counts_for_itself_and_nobody_gets_an_error(
    database, start_servers, own_redis, upstream
):
    scene = Scene(start_servers(workers=1, REDIS_URL=own_redis.url()), f"paced-{time.monotonic_ns()}")
    scene.account(upstream(answers()))
    held.lay_down(key_of(scene), requests_per_minute=4, tokens_per_minute=100_000)
    assert scene.ask().status == 200

    own_redis.stop()

    replies = [scene.ask() for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 4 + [429] * 2
    assert replies[-1].headers["retry-after"]

    own_redis.start()  # its own count stands at one
    wait_until(lambda: scene.ask().status == 200, "nobody asks Redis again", 40)


def test_while_redis_is_frozen_requests_are_served(database, start_servers, own_redis, upstream, frozen):
    scene = Scene(start_servers(workers=1, REDIS_URL=own_redis.url()), f"paced-{time.monotonic_ns()}")
    scene.account(upstream(answers()))
    held.lay_down(key_of(scene), requests_per_minute=50, tokens_per_minute=100_000)
    assert scene.ask().status == 200

    with frozen(own_redis.pid):
        assert [scene.ask().status for _ in range(3)] == [200] * 3


# Slots


def test_a_key_has_as_many_requests_under_way_as_it_may(scene, upstream, lay_down):
    scene.account(upstream(drips(0.3)))
    other = factories.api_key(scene.user)[1]
    lay_down(max_concurrent=2)

    with ExitStack() as streams:
        for _ in range(2):
            streams.enter_context(scene.stream())
        refused = scene.ask()
        assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (
            429,
            "rate_limit_exceeded",
            "1",
        )
        assert "key" in refused.error["message"]
        streams.enter_context(scene.stream(key=other))
    wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "still busy")

    with ExitStack() as streams:
        streams.enter_context(scene.stream())


def test_of_many_at_once_exactly_as_many_get_in_as_there_are_slots(scene, upstream, lay_down):
    scene.account(upstream(answers(delay=1.0)))
    lay_down(max_concurrent=3)

    replies = at_once(*[scene.ask] * 12)

    assert statuses(replies) == {200: 3, 429: 9}


def test_a_killed_worker_returns_the_slots(database, start_servers, upstream):
    scene = Scene(start_servers(workers=1, LEASE_SECONDS=2), f"killed-{time.monotonic_ns()}")
    scene.account(upstream(drips(0.2)))
    held.lay_down(key_of(scene), max_concurrent=1)

    with scene.stream():
        os.kill(scene.server.pids()[0], signal.SIGKILL)
        wait_until(lambda: books.close_abandoned() == 1, "the lease does not end")
    scene.server.wait_until_ready()

    with scene.stream() as response:
        assert response.status == 200


# Budgets


def test_over_its_budget_a_key_is_refused_until_there_is_room_again(scene, serving, key_id, lay_down):
    assert scene.ask().status == 200
    estimate = scene.line()["estimate"]

    lay_down(budget_day=estimate + COST, budget_month=10 * estimate)

    assert scene.ask().status == 200
    scene.last_line()
    refused = scene.ask()
    assert (refused.status, refused.error["type"], refused.error["code"]) == (429, *["insufficient_quota"] * 2)
    assert refused.headers["x-should-retry"] == "false"
    told = refused.error["budget"]
    assert (told["name"], told["limit"], told["used"]) == ("day", units(estimate + COST), units(2 * COST))
    assert 23 * 3600 < int(refused.headers["retry-after"]) <= 25 * 3600
    assert told["fits_at"] in refused.error["message"]
    assert len(serving.requests) == 2

    later = "update api_key_spend set hour = hour - interval '25 hours' where api_key_id = :key and hour > '-infinity'"
    db.session.execute(text(later), {"key": key_id})
    db.session.commit()
    assert scene.ask().status == 200


def test_calls_at_once_do_not_pass_a_budget_together(scene, upstream, lay_down):
    server = upstream(answers())
    scene.account(server)
    assert scene.ask(max_tokens=1000).status == 200
    estimate = scene.line()["estimate"]
    # Each costs just what was expected, so that none makes room for another, whatever the timing.
    server.plays(answers(usage={"prompt_tokens": estimate - 4 * 1000, "completion_tokens": 1000}))
    lay_down(budget_total=COST + 5 * estimate)

    replies = at_once(*[lambda: scene.ask(max_tokens=1000)] * 20)

    assert statuses(replies) == {200: 5, 429: 15}
    assert {reply.headers["x-should-retry"] for reply in replies if reply.status == 429} == {"false"}
    scene.last_line()
    assert sum(line["cost"] for line in scene.lines()) == COST + 5 * estimate


def test_what_a_key_spends_on_its_owners_own_accounts_counts(scene, upstream, lay_down):
    scene.account(upstream(answers()), owner=scene.user, sharing="dedicated")
    lay_down(budget_week=COST)

    assert scene.ask(max_tokens=1).status == 200
    scene.last_line()
    refused = scene.ask(max_tokens=1)

    assert (refused.status, refused.error["budget"]["name"]) == (429, "week")
    assert scene.charged() == 0


def test_a_budget_that_can_never_hold_a_request_says_so(scene, serving, lay_down):
    lay_down(budget_five_hours=1)

    refused = scene.ask()

    assert (refused.status, refused.error["budget"]["fits_at"]) == (429, None)
    assert refused.headers["x-should-retry"] == "false"
    assert "unless the budget is raised" in refused.error["message"]


def test_a_token_is_not_held_to_what_limits_a_key(scene, serving, lay_down):
    lay_down(models=["another"], addresses=["203.0.113.7"], requests_per_minute=1, budget_total=1, max_concurrent=1)

    hers = scene.headers(authorization=f"Bearer {scene.token()}")

    assert [scene.ask(headers=hers).status for _ in range(3)] == [200] * 3


# Rotation


def test_a_replaced_secret_ends_with_its_grace_for_workers_that_remember_it(
    scene, serving, key_id, gateway_environment
):
    assert statuses(ask_everybody(scene)) == {200: 8}
    _, new = keyring.rotate(scene.user.id, key_id, timedelta(hours=1))
    db.session.commit()
    assert statuses([*ask_everybody(scene), *ask_everybody(scene, key=new)]) == {200: 16}

    scene.change("api_keys", key_id, former_until="now")
    with redis.Redis.from_url(gateway_environment["REDIS_URL"]) as connection:
        connection.flushall()

    refused = ask_everybody(scene)
    assert statuses(refused) == {401: 8}
    assert {reply.error["code"] for reply in refused} == {"invalid_api_key"}
    assert statuses(ask_everybody(scene, key=new)) == {200: 8}


def test_limits_are_the_keys_whichever_of_its_secrets_is_used(scene, serving, key_id, lay_down):
    lay_down(requests_per_minute=2)
    _, new = keyring.rotate(scene.user.id, key_id, timedelta(hours=1))
    db.session.commit()

    assert [scene.ask(key=key).status for key in (scene.key, new, scene.key, new)] == [200, 200, 429, 429]


def test_a_key_that_was_deleted_or_has_expired_opens_nothing_more(scene, serving, key_id):
    assert statuses(ask_everybody(scene)) == {200: 8}

    scene.change("api_keys", key_id, expires_at="now")
    assert statuses(ask_everybody(scene)) == {401: 8}
    db.session.delete(db.session.get(ApiKey, key_id))
    db.session.commit()
    assert statuses(ask_everybody(scene)) == {401: 8}


def test_a_use_is_noted(scene, serving, key_id):
    scene.ask()

    (key,) = rows("select last_used_at, now() - last_used_at as since from api_keys where id = :id", id=key_id)
    assert key["since"] < timedelta(minutes=1)


def test_an_own_connection_is_told_the_figures_of_every_request(scene, serving, lay_down, connection):
    assert isinstance(connection, http.client.HTTPConnection)
    lay_down(tokens_per_minute=100_000)

    left = [int(scene.ask(connection=connection).headers["x-ratelimit-remaining-tokens"]) for _ in range(3)]

    assert left == sorted(left, reverse=True)
    assert left[0] - left[-1] == 2 * 150
