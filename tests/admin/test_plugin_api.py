"""/api/admin/plugin: who has a user at the Plug-in API, and what an admin can have done about it."""

from __future__ import annotations

import pytest

from shared_accounts.extensions import db
from shared_accounts.plugin import provisioning
from tests import factories
from tests.plugin.provisioned import accounts_of, ada, binding_of, change, counterpart_of, lapse, plugin, run, works
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["ada", "plugin", "plugin_process", "plugin_server"]

BINDINGS = "/api/admin/plugin"
ORDERS = ["provision", "resync", "rotate-key"]


@pytest.fixture
def there(plugin, ada):
    """Ada, who has a user there."""
    run(provisioning.provision(plugin, ada))
    return ada


def order(admin, user_id, name):
    return admin.post(f"{BINDINGS}/{user_id}/{name}")


def acts_on(acts, user_id):
    return [(row["act"], row["details"]) for row in acts() if row["user_id"] == user_id and row["act"][:6] == "plugin"]


def test_everybody_is_listed_with_how_far_she_is_and_never_her_key(plugin, plugin_server, committed, there, admin):
    plugin_server.misbehave(".*", status=500)
    bea = factories.user(username="bea")
    run(provisioning.provision(plugin, bea.id))
    cat = factories.user(username="cat")

    answer = admin.get(BINDINGS)

    assert answer.status_code == 200
    assert [(one["username"], one["state"]) for one in answer.json] == [
        ("cat", "none"),
        ("bea", "pending"),
        ("boss", "none"),
        ("ada", "ready"),
    ]
    assert set(answer.json[0]) == {
        "user_id", "username", "state", "problem", "attempts", "next_attempt_at", "account_id", "updated_at"
    }  # fmt: skip
    assert answer.json[1]["problem"] == "the Plug-in API answered 500 (other)"
    assert (answer.json[1]["attempts"], answer.json[0]["user_id"]) == (1, cat.id)
    hers = counterpart_of(plugin, there)
    assert hers.api_key not in answer.text
    assert hers.user_id not in answer.text


def test_the_list_is_paged_and_searched(plugin, there, admin):
    first = admin.get(BINDINGS, query_string={"page_size": 1})
    assert ([one["username"] for one in first.json], first.headers["X-Pagination"].count('"total": 2')) == (["boss"], 1)

    for query, found in [({"search": "AD"}, ["ada"]), ({"state": "ready"}, ["ada"]), ({"state": "none"}, ["boss"])]:
        assert [one["username"] for one in admin.get(BINDINGS, query_string=query).json] == found
    for query in ({"state": "gone"}, {"page_size": 201}, {"search": "x" * 51}):
        assert admin.get(BINDINGS, query_string=query).status_code == 422


def test_somebody_is_provisioned_at_once_and_a_second_time_nothing_happens(plugin, plugin_server, ada, admin, acts):
    for _ in range(2):
        answer = order(admin, ada, "provision")
        assert (answer.status_code, answer.json["state"], answer.json["problem"]) == (200, "ready", None)

    assert plugin_server.users_named(binding_of(ada).name) == 1
    assert works(plugin_server, counterpart_of(plugin, ada).api_key)
    assert acts_on(acts, ada) == [("plugin.provision", {})]


def test_a_resync_finds_what_she_can_ask_for_now(plugin, plugin_server, there, admin, acts):
    plugin_server.add_account(counterpart_of(plugin, there).api_key)

    answer = order(admin, there, "resync")

    [account] = accounts_of(there)
    assert (answer.status_code, answer.json["account_id"]) == (200, account.id)
    assert account.models
    assert acts_on(acts, there) == [("plugin.resync", {})]


def test_a_rotated_key_is_shown_to_nobody(plugin, plugin_server, there, admin, acts):
    old = counterpart_of(plugin, there)

    answer = order(admin, there, "rotate-key")

    new = counterpart_of(plugin, there)
    assert answer.status_code == 200
    assert (works(plugin_server, old.api_key), works(plugin_server, new.api_key)) == (False, True)
    assert new.api_key not in answer.text + str(acts())
    assert acts_on(acts, there) == [("plugin.rotate_key", {})]


@pytest.mark.parametrize("name", ORDERS)
def test_while_the_plug_in_refuses_that_is_its_fault_and_noted(plugin, plugin_server, ada, admin, name):
    plugin_server.misbehave(".*", status=403, body={"error": "需要管理员权限"})

    answer = order(admin, ada, name)

    assert (answer.status_code, answer.json["error_code"]) == (502, "PLUGIN_FAILED")
    assert answer.json["message"] == "The Plug-in API answered 403 (other)."
    assert binding_of(ada).problem == "the Plug-in API answered 403 (other)"
    assert order(admin, ada, name).status_code == 200


@pytest.mark.parametrize("name", ORDERS)
def test_while_the_plug_in_is_away_that_is_said(plugin, plugin_server, there, admin, name, acts):
    change("update plugin_users set state = 'pending'")
    plugin_server.misbehave(".*", refuse=True, times=2)

    answer = order(admin, there, name)

    assert (answer.status_code, answer.json["error_code"]) == (502, "PLUGIN_UNREACHABLE")
    assert (binding_of(there).problem, binding_of(there).claim) == ("the Plug-in API cannot be reached", None)
    assert len(acts_on(acts, there)) == 1


@pytest.mark.parametrize("name", ["resync", "rotate-key"])
def test_whom_somebody_is_at_is_left_to_her(plugin, there, admin, name, acts):
    before = binding_of(there).sealed_counterpart
    next(provisioning.provision(plugin, there, again=True))
    db.session.commit()

    answer = order(admin, there, name)

    assert (answer.status_code, answer.json["error_code"]) == (409, "PLUGIN_BUSY")
    assert binding_of(there).sealed_counterpart == before
    assert acts_on(acts, there) == []
    lapse(there)
    assert order(admin, there, name).status_code == 200


def test_disabled_users_are_left_out(plugin, plugin_server, ada, admin):
    change("update users set state = 'disabled' where id = :id", id=ada)

    for name in ORDERS:
        answer = order(admin, ada, name)
        assert (answer.status_code, answer.json["error_code"]) == (409, "PLUGIN_LEFT_OUT")
    assert plugin_server.seen() == []


def test_users_made_and_lost_are_listed(plugin, plugin_server, there, admin):
    assert admin.get(f"{BINDINGS}/orphans").json == []
    name = binding_of(there).name
    lost = plugin_server.create_user(name)
    plugin_server.create_user("nobody of ours")

    answer = admin.get(f"{BINDINGS}/orphans")

    assert (answer.status_code, answer.json) == (200, [{"plugin_user_id": lost["user_id"], "name": name}])


def test_users_made_and_lost_cannot_be_listed_while_it_is_away(plugin, plugin_server, admin):
    plugin_server.misbehave("/api/users", refuse=True, times=2)
    assert admin.get(f"{BINDINGS}/orphans").json["error_code"] == "PLUGIN_UNREACHABLE"


def test_without_a_plug_in_there_is_nobody_to_ask(committed, ada, admin, acts):
    answers = [order(admin, ada, name) for name in ORDERS] + [admin.get(f"{BINDINGS}/orphans")]

    assert {(answer.status_code, answer.json["error_code"]) for answer in answers} == {(409, "PLUGIN_NOT_SET_UP")}
    assert {one["state"] for one in admin.get(BINDINGS).json} == {"none"}
    assert acts_on(acts, ada) == []


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("number", ["0", str(2**63 - 1), "-1", "x"])
def test_whoever_does_not_exist_is_not_found(plugin, committed, admin, name, number, acts):
    assert order(admin, number, name).status_code == 404
    assert acts() == []
