"""Each of our users has one user at the Plug-in API, whatever happens on the way."""

from __future__ import annotations

import pytest

from shared_accounts import tasks
from shared_accounts.accounts import contribution
from shared_accounts.extensions import db
from shared_accounts.plugin import bindings, provisioning
from shared_accounts.plugin.failures import PluginUnreachable
from shared_accounts.plugin.provisioning import Order
from tests import factories
from tests.conftest import rows
from tests.gateway.scene import wait_until
from tests.plugin.provisioned import accounts_of, binding_of, change, counterpart_of, lapse, plugin, run, works
from tests.plugin_api import plugin_process, plugin_server
from tests.together import at_once

__all__ = ["plugin", "plugin_process", "plugin_server"]

USERS, POOL = "/api/users", "/api/quotas/shared-pool"


@pytest.fixture
def ada(committed):
    return factories.user(username="ada").id


@pytest.fixture
def served(plugin, plugin_server, ada):
    """Ada, with an account of her own there, and so with one here."""
    run(provisioning.provision(plugin, ada))
    plugin_server.add_account(counterpart_of(plugin, ada).api_key)
    run(provisioning.provision(plugin, ada, again=True))
    return ada


def made(plugin_server):
    return len([one for one in plugin_server.seen(USERS) if one["method"] == "POST"])


def cut_off(steps, after):
    """A worker that dies: it has committed so many times, and never comes back."""
    for _ in range(after):
        next(steps)
        db.session.commit()
    steps.close()


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


def test_who_was_frozen_while_she_settled_contributes_no_second_account(app, plugin, plugin_server, ada):
    """One asks for the models and gets them late; meanwhile another has taken over and finished."""
    plugin_server.add_account(plugin_server.create_user("somebody who shares")["api_key"], is_shared=1)
    plugin_server.misbehave(POOL, stall=4)

    def take_over():
        wait_until(lambda: plugin_server.seen(POOL) != [], "nobody asks for models")
        lapse(ada)
        run(provisioning.provision(plugin, ada))

    at_once(app, lambda: run(provisioning.provision(plugin, ada)), take_over)

    [account] = accounts_of(ada)
    assert binding_of(ada).account_id == account.id
    assert binding_of(ada).state == "ready"
    assert made(plugin_server) == 2  # one of them for somebody who shares


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


def test_a_key_that_is_refused_later_is_renewed_and_its_account_serves_again(plugin, plugin_server, served):
    key = counterpart_of(plugin, served).api_key
    plugin_server.call("POST", f"/api/users/{counterpart_of(plugin, served).user_id}/regenerate-key", json={})
    change("update accounts set state = 'needs_sign_in', state_reason = 'the upstream answered 401'")
    assert bindings.due() == [served]

    run(provisioning.provision(plugin, served, again=True))

    [account] = accounts_of(served)
    fresh = counterpart_of(plugin, served).api_key
    assert account.state == "active"
    assert fresh != key
    assert plugin.vault.unseal(account.sealed_credential, purpose=f"account:{account.id}") == fresh
    assert works(plugin_server, fresh)
    assert bindings.due() == []


def test_who_was_deleted_there_is_made_anew(plugin, plugin_server, served):
    gone = counterpart_of(plugin, served)
    plugin.admin.delete_user(gone.user_id)

    run(provisioning.provision(plugin, served, again=True))

    hers = counterpart_of(plugin, served)
    assert hers.user_id != gone.user_id
    assert works(plugin_server, hers.api_key)
    assert len(accounts_of(served)) == 1
    assert provisioning.orphans(plugin) == []


def test_who_was_deleted_there_and_whose_new_user_nobody_told_of_is_found(plugin, plugin_server, served):
    plugin.admin.delete_user(counterpart_of(plugin, served).user_id)
    plugin_server.misbehave(USERS, method="POST", lose_answer=True)

    run(provisioning.provision(plugin, served, again=True))
    assert binding_of(served).problem
    run(provisioning.provision(plugin, served, again=True))

    assert plugin_server.users_named(binding_of(served).name) == 1
    assert works(plugin_server, counterpart_of(plugin, served).api_key)


def test_a_rotated_key_is_the_only_one_and_serves_at_once(plugin, plugin_server, served):
    old = counterpart_of(plugin, served)

    run(provisioning.insist(plugin, served, Order.ROTATE_KEY))

    new = counterpart_of(plugin, served)
    [account] = accounts_of(served)
    assert new.user_id == old.user_id
    assert (works(plugin_server, old.api_key), works(plugin_server, new.api_key)) == (False, True)
    assert plugin.vault.unseal(account.sealed_credential, purpose=f"account:{account.id}") == new.api_key
    assert account.state == "active"


def test_a_rotation_whose_answer_is_lost_is_made_good_at_the_next_look(plugin, plugin_server, served):
    plugin_server.misbehave(".*/regenerate-key", lose_answer=True)

    with pytest.raises(PluginUnreachable):
        run(provisioning.insist(plugin, served, Order.ROTATE_KEY))

    assert (binding_of(served).claim, binding_of(served).problem) == (None, "the Plug-in API cannot be reached")
    run(provisioning.provision(plugin, served, again=True))
    assert works(plugin_server, counterpart_of(plugin, served).api_key)


def test_a_rotation_that_nobody_finishes_leaves_her_due(plugin, plugin_server, served):
    cut_off(provisioning.insist(plugin, served, Order.ROTATE_KEY), after=1)
    assert bindings.due() == []

    lapse(served)

    assert bindings.due() == [served]


def test_an_account_its_owner_has_withdrawn_stays_so(plugin, plugin_server, served):
    contribution.withdraw(contribution.mine(served, accounts_of(served)[0].id))
    db.session.commit()

    run(provisioning.provision(plugin, served, again=True))
    run(provisioning.insist(plugin, served, Order.ROTATE_KEY))

    [account] = accounts_of(served)
    assert (account.state, account.sealed_credential) == ("withdrawn", None)
    assert binding_of(served).state == "ready"


@pytest.mark.parametrize("state", ["paused", "disabled"])
def test_an_account_that_somebody_stopped_gets_its_new_key_and_stays_stopped(plugin, plugin_server, served, state):
    change("update accounts set state = :state", state=state)

    run(provisioning.insist(plugin, served, Order.ROTATE_KEY))

    [account] = accounts_of(served)
    assert account.state == state
    key = counterpart_of(plugin, served).api_key
    assert plugin.vault.unseal(account.sealed_credential, purpose=f"account:{account.id}") == key


def test_a_model_its_owner_has_switched_off_stays_off(plugin, plugin_server, served):
    off, *on = accounts_of(served)[0].models
    change("update accounts set models = :on, models_off = :off", on=on, off=[off])

    run(provisioning.provision(plugin, served, again=True))

    assert accounts_of(served)[0].models == on


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


def test_a_counterpart_nobody_can_open_is_a_problem_and_makes_no_second_user(plugin, plugin_server, served):
    change("update plugin_users set sealed_counterpart = 'x'")

    run(provisioning.provision(plugin, served, again=True))

    assert "encryption keys" in binding_of(served).problem
    assert binding_of(served).claim is None
    assert made(plugin_server) == 1


def test_who_is_just_being_made_is_no_orphan(plugin, plugin_server, ada):
    plugin_server.misbehave(USERS, method="POST", lose_answer=True)

    run(provisioning.provision(plugin, ada))

    assert plugin_server.users_named(binding_of(ada).name) == 1
    assert provisioning.orphans(plugin) == []


def test_health_leaves_accounts_at_the_plug_in_to_the_sweep(plugin, plugin_server, served):
    change("update accounts set state = 'broken', created_at = now() - interval '3 days'")
    asked = len(plugin_server.seen())

    tasks.probe_accounts()
    assert (accounts_of(served)[0].state, len(plugin_server.seen())) == ("broken", asked)
    change("update accounts set state = 'active'")
    tasks.probe_accounts()
    assert (accounts_of(served)[0].probed_at, len(plugin_server.seen())) == (None, asked)

    change("update accounts set state = 'broken'")
    assert bindings.due() == [served]
    run(provisioning.provision(plugin, served, again=True))
    assert accounts_of(served)[0].state == "active"


def test_however_often_somebody_asks_she_is_hastened_once_in_a_while(plugin):
    assert [plugin.may_hasten(1) for _ in range(100)].count(True) == 1
    assert plugin.may_hasten(2)

    for user_id in range(20_000):
        plugin.may_hasten(user_id)

    assert len(plugin._hastened) <= 10_000  # noqa: SLF001
