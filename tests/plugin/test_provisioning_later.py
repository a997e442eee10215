"""What becomes of somebody's key and account once she is provisioned: refused, rotated, deleted there, stopped here."""

from __future__ import annotations

import pytest

from shared_accounts import tasks
from shared_accounts.accounts import contribution, withdrawal
from shared_accounts.extensions import db
from shared_accounts.plugin import bindings, provisioning
from shared_accounts.plugin.failures import PluginUnreachable
from shared_accounts.plugin.provisioning import Order
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

__all__ = ["ada", "plugin", "plugin_process", "plugin_server", "served"]

USERS = "/api/users"


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
    withdrawal.withdraw(contribution.mine(served, accounts_of(served)[0].id))
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


def test_a_counterpart_nobody_can_open_is_a_problem_and_makes_no_second_user(plugin, plugin_server, served):
    change("update plugin_users set sealed_counterpart = 'x'")

    run(provisioning.provision(plugin, served, again=True))

    assert "encryption keys" in binding_of(served).problem
    assert binding_of(served).claim is None
    assert made(plugin_server) == 1


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
