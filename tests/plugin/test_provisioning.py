"""Each of our users has one user at the Plug-in API, whatever happens on the way."""

from __future__ import annotations

import pytest

from shared_accounts.extensions import db
from shared_accounts.plugin import bindings, provisioning
from shared_accounts.plugin.provisioning import Order
from tests import factories
from tests.conftest import rows
from tests.gateway.scene import wait_until
from tests.plugin.provisioned import (
    accounts_of,
    ada,
    binding_of,
    change,
    counterpart_of,
    cut_off,
    lapse,
    made,
    plugin,
    run,
    served,
    works,
)
from tests.plugin_api import plugin_process, plugin_server
from tests.together import at_once, waiting

__all__ = ["ada", "plugin", "plugin_process", "plugin_server", "served"]

USERS, POOL = "/api/users", "/api/quotas/shared-pool"


def test_a_user_gets_her_counterpart_and_once_there_is_something_to_ask_for_an_account(
    plugin, plugin_server, committed
):
    user = factories.user(username="ada", prefer_shared=True)

    run(provisioning.provision(plugin, user.id))

    binding = binding_of(user.id)
    assert (binding.state, binding.problem, binding.account_id) == ("ready", None, None)
    hers = counterpart_of(plugin, user.id)
    assert plugin.user(hers).me()["data"]["prefer_shared"] == 1
    assert plugin_server.users_named(binding.name) == 1

    plugin_server.add_account(hers.api_key)
    run(provisioning.provision(plugin, user.id, again=True))

    [account] = accounts_of(user.id)
    assert account.id == binding_of(user.id).account_id
    assert (account.sharing, account.preset, account.state) == ("dedicated", "plugin", "active")
    assert account.models


def test_an_answer_that_is_lost_makes_no_second_user(plugin, plugin_server, ada):
    plugin_server.misbehave(USERS, method="POST", lose_answer=True)

    run(provisioning.provision(plugin, ada))
    assert binding_of(ada).state == "pending"
    assert binding_of(ada).problem == "the Plug-in API cannot be reached"
    run(provisioning.provision(plugin, ada))

    assert binding_of(ada).state == "ready"
    assert plugin_server.users_named(binding_of(ada).name) == 1
    assert works(plugin_server, counterpart_of(plugin, ada).api_key)
    assert provisioning.orphans(plugin) == []


@pytest.mark.parametrize("commits", [1, 2])
def test_a_worker_that_dies_on_the_way_leaves_the_rest_to_the_next(plugin, plugin_server, ada, commits):
    cut_off(provisioning.provision(plugin, ada), after=commits)
    run(provisioning.provision(plugin, ada))
    assert binding_of(ada).state == "pending"  # the claim is still good
    assert bindings.due() == []

    lapse(ada)
    assert bindings.due() == [ada]
    run(provisioning.provision(plugin, ada))

    assert binding_of(ada).state == "ready"
    assert made(plugin_server) == 1
    assert works(plugin_server, counterpart_of(plugin, ada).api_key)


def test_of_many_at_once_one_makes_her(app, plugin, plugin_server, ada):
    plugin_server.misbehave(USERS, method="POST", stall=0.5)

    at_once(app, *[lambda: run(provisioning.provision(plugin, ada))] * 5)

    assert binding_of(ada).state == "ready"
    assert made(plugin_server) == plugin_server.users_named(binding_of(ada).name) == 1


def test_who_was_frozen_before_she_asked_makes_an_orphan_that_is_found(plugin, plugin_server, ada):
    frozen = provisioning.provision(plugin, ada)
    next(frozen)
    db.session.commit()
    lapse(ada)
    run(provisioning.provision(plugin, ada))
    kept = counterpart_of(plugin, ada)

    run(frozen)

    name = binding_of(ada).name
    assert counterpart_of(plugin, ada) == kept
    assert works(plugin_server, kept.api_key)
    assert plugin_server.users_named(name) == 2
    [(orphan, called)] = provisioning.orphans(plugin)
    assert (called, orphan != kept.user_id) == (name, True)


def test_who_was_frozen_after_she_was_made_contributes_no_second_account(plugin, plugin_server, served):
    frozen = provisioning.insist(plugin, served, Order.ROTATE_KEY)
    for _ in range(2):
        next(frozen)
        db.session.commit()
    lapse(served)
    run(provisioning.insist(plugin, served, Order.ROTATE_KEY))
    kept = counterpart_of(plugin, served)

    with pytest.raises(Exception, match="401"):
        run(frozen)

    [account] = accounts_of(served)
    credential = plugin.vault.unseal(account.sealed_credential, purpose=f"account:{account.id}")
    assert credential == counterpart_of(plugin, served).api_key == kept.api_key
    assert works(plugin_server, credential)


def test_who_loses_her_claim_at_the_last_moment_contributes_nothing(app, plugin, plugin_server, ada):
    plugin_server.add_account(plugin_server.create_user("somebody who shares")["api_key"], is_shared=1)
    plugin_server.misbehave(POOL, stall=2)

    def take_over():
        wait_until(lambda: plugin_server.seen(POOL) != [], "nobody asks for models")
        with db.engine.begin() as connection:
            connection.exec_driver_sql("update plugin_users set claim = gen_random_uuid()")
            wait_until(lambda: waiting() == 1, "nobody asks whether her claim still counts")

    at_once(app, lambda: run(provisioning.provision(plugin, ada)), take_over)

    assert accounts_of(ada) == []
    assert binding_of(ada).state == "pending"
    lapse(ada)
    run(provisioning.provision(plugin, ada))
    assert [account.id for account in accounts_of(ada)] == [binding_of(ada).account_id]
    assert works(plugin_server, counterpart_of(plugin, ada).api_key)


def test_a_key_that_was_killed_by_somebody_frozen_is_replaced_at_the_next_look(plugin, plugin_server, served):
    frozen = provisioning.insist(plugin, served, Order.ROTATE_KEY)
    next(frozen)
    db.session.commit()
    lapse(served)
    run(provisioning.insist(plugin, served, Order.ROTATE_KEY))
    assert bindings.due() == []

    run(frozen)

    assert not works(plugin_server, counterpart_of(plugin, served).api_key)
    assert bindings.due() == [served]
    run(provisioning.provision(plugin, served, again=True))
    assert works(plugin_server, counterpart_of(plugin, served).api_key)
    assert len(accounts_of(served)) == 1


def test_while_the_plug_in_is_away_the_waits_grow(plugin, plugin_server, ada):
    plugin_server.misbehave(".*", status=503, times=3)
    waits = []

    for _ in range(3):
        run(provisioning.provision(plugin, ada))
        waits.append(round((binding_of(ada).next_attempt_at - binding_of(ada).updated_at).total_seconds()))

    assert waits == [5, 10, 20]
    assert (binding_of(ada).problem, binding_of(ada).attempts) == ("the Plug-in API answered 503 (other)", 3)
    run(provisioning.provision(plugin, ada))
    assert (binding_of(ada).problem, binding_of(ada).attempts) == (None, 0)


def test_disabled_users_are_left_out_and_come_back_with_their_state(plugin, plugin_server, ada):
    change("update users set state = 'disabled'")

    run(provisioning.provision(plugin, ada))
    assert (rows("plugin_users"), bindings.due(), plugin_server.seen()) == ([], [], [])
    with pytest.raises(provisioning.LeftOut):
        run(provisioning.insist(plugin, ada, Order.PROVISION))

    change("update users set state = 'active'")
    assert bindings.due() == [ada]


def test_who_has_none_yet_is_seen_to_before_those_who_are_only_to_be_looked_at(plugin, plugin_server, served):
    change("update plugin_users set next_attempt_at = now() - interval '1 day'")
    pending, newcomer = factories.user().id, factories.user().id
    plugin_server.misbehave(".*", status=500)
    run(provisioning.provision(plugin, pending))
    change("update plugin_users set next_attempt_at = now() where user_id = :id", id=pending)

    assert bindings.due() == [newcomer, pending, served]
    assert bindings.due(most=2) == [newcomer, pending]


def test_who_is_just_being_made_is_no_orphan(plugin, plugin_server, ada):
    plugin_server.misbehave(USERS, method="POST", lose_answer=True)

    run(provisioning.provision(plugin, ada))

    assert plugin_server.users_named(binding_of(ada).name) == 1
    assert provisioning.orphans(plugin) == []


def test_however_often_somebody_asks_she_is_hastened_once_in_a_while(plugin):
    assert [plugin.may_hasten(1) for _ in range(100)].count(True) == 1
    assert plugin.may_hasten(2)

    for user_id in range(20_000):
        plugin.may_hasten(user_id)

    assert len(plugin._hastened) <= 10_000  # noqa: SLF001
