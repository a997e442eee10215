"""Provisioning by real workers, through whatever can happen to them and to the Plug-in API."""

from __future__ import annotations

import signal

import pytest
import redis

from shared_accounts import tasks
from shared_accounts.local.servers import free_port
from shared_accounts.plugin import bindings, provisioning
from shared_accounts.users import roster
from tests.gateway.scene import wait_until
from tests.plugin.provisioned import (
    PATIENCE,
    binding_of,
    counterpart_of,
    lapse,
    plugin,
    queued,
    run,
    start_worker,
    wait_until_ready,
    works,
)
from tests.plugin_api import PluginServer, plugin_process, plugin_server

__all__ = ["plugin", "plugin_process", "plugin_server", "start_worker"]
pytestmark = pytest.mark.timeout(240)

USERS = "/api/users"


@pytest.fixture
def let_in(committed):
    """Let people in, as every door does; their provisioning is sent for."""

    def register(*names):
        users = [roster.register(name).id for name in names]
        committed.commit()
        return users

    return register


@pytest.fixture
def undelivered(redis_server):
    """How many tasks workers hold in their hands."""
    with redis.Redis.from_url(redis_server.url()) as connection:
        yield lambda: connection.hlen("unacked")


def asked_to_make(plugin_server):
    return len([one for one in plugin_server.seen(USERS) if one["method"] == "POST"])


def each_has_one(plugin, plugin_server, user_ids):
    for user_id in user_ids:
        assert plugin_server.users_named(binding_of(user_id).name) == 1
        assert works(plugin_server, counterpart_of(plugin, user_id).api_key)


def test_a_server_that_is_down_at_first_finds_everybody_waiting(
    plugin, let_in, start_worker, with_settings, plugin_process
):
    port = free_port()
    start_worker(PLUGIN_API_BASE_URL=f"http://127.0.0.1:{port}")
    users = let_in("ada", "bea", "cat")
    wait_until(lambda: all(problem_of(user) for user in users), "nobody has tried", PATIENCE)
    assert {binding_of(user).state for user in users} == {"pending"}

    late = PluginServer("--port", str(port))
    try:
        wait_until_ready(*users)
        each_has_one(plugin, late, users)
    finally:
        late.stop()


def problem_of(user_id):
    binding = bindings.of(user_id)
    return binding and binding_of(user_id).problem


def test_an_answer_that_is_lost_is_made_good_in_seconds(plugin, plugin_server, let_in, start_worker):
    plugin_server.misbehave(USERS, method="POST", lose_answer=True)
    start_worker()

    users = let_in("ada")

    wait_until_ready(*users)
    each_has_one(plugin, plugin_server, users)
    assert asked_to_make(plugin_server) == 1
    assert provisioning.orphans(plugin) == []


def test_two_workers_and_every_message_thrice_make_one_each(plugin, plugin_server, let_in, start_worker):
    for _ in range(2):
        start_worker()
    plugin_server.misbehave(USERS, method="POST", stall=0.5, times=3)

    users = let_in("ada", "bea", "cat")
    for user_id in users * 2:
        tasks.provision_plugin_user.delay(user_id)

    wait_until_ready(*users)
    each_has_one(plugin, plugin_server, users)
    assert asked_to_make(plugin_server) == 3
    assert provisioning.orphans(plugin) == []


def test_a_worker_that_is_killed_before_it_could_keep_her_loses_nobody(plugin, plugin_server, let_in, start_worker):
    plugin_server.misbehave(USERS, method="POST", stall=3)
    doomed = start_worker()
    users = let_in("ada")
    wait_until(lambda: asked_to_make(plugin_server) == 1, "nobody makes her", PATIENCE)

    doomed.kill()

    wait_until(lambda: plugin_server.users_named(binding_of(users[0]).name) == 1, "she was not made")
    assert binding_of(users[0]).sealed_counterpart is None
    lapse(users[0])
    tasks.sweep_plugin_users()
    start_worker()
    wait_until_ready(*users)
    each_has_one(plugin, plugin_server, users)
    assert asked_to_make(plugin_server) == 1
    assert provisioning.orphans(plugin) == []


def test_a_worker_that_was_frozen_past_its_claim_changes_nothing_any_more(
    plugin, plugin_server, let_in, start_worker, undelivered
):
    plugin_server.misbehave(USERS, method="POST", stall=4)
    frozen = start_worker()
    [user] = let_in("ada")
    wait_until(lambda: asked_to_make(plugin_server) == 1, "nobody makes her", PATIENCE)
    frozen.signal(signal.SIGSTOP)
    lapse(user)

    run(provisioning.provision(plugin, user))
    kept, name = counterpart_of(plugin, user), binding_of(user).name
    wait_until(lambda: plugin_server.users_named(name) == 2, "the frozen worker's request came to nothing")
    frozen.signal(signal.SIGCONT)
    wait_until(lambda: undelivered() == 0, "the frozen worker is not done", PATIENCE)

    assert counterpart_of(plugin, user) == kept
    assert binding_of(user).state == "ready"
    assert works(plugin_server, kept.api_key)
    [(orphan, called)] = provisioning.orphans(plugin)
    assert (called, orphan == kept.user_id) == (name, False)


def test_while_the_broker_is_away_people_come_in_and_the_sweep_makes_up_for_it(
    plugin, plugin_server, client, committed, with_settings, frozen, redis_server, start_worker, impatient
):
    body = {"username": "newcomer", "password": "a sentence nobody knows"}
    before = client.application.extensions["settings"]
    url, key = before.plugin_api_base_url, before.plugin_api_admin_key
    opened = with_settings(registration="open", plugin_api_base_url=url, plugin_api_admin_key=key)
    with opened, frozen(redis_server.pid):
        answer = client.post("/api/auth/register", json=body)

    assert answer.status_code == 201, answer.json
    user_id = answer.json["user"]["id"]
    with redis.Redis.from_url(redis_server.url()) as connection:
        connection.flushdb()  # what it was sent meanwhile it may have read since
    assert bindings.due() == [user_id]
    tasks.sweep_plugin_users()
    assert queued(redis_server.url()) == [("shared_accounts.look_after_plugin_user", [user_id])]
    start_worker()
    wait_until_ready(user_id)
    each_has_one(plugin, plugin_server, [user_id])
