"""`flask plugin ...`: what an operator sees and does, and that no key is ever printed."""

from __future__ import annotations

import pytest

from shared_accounts.plugin import provisioning
from tests import factories
from tests.conftest import rows
from tests.plugin.provisioned import accounts_of, ada, binding_of, change, counterpart_of, plugin, run, works
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["ada", "plugin", "plugin_process", "plugin_server"]


@pytest.fixture
def say(app, committed):
    def invoke(*arguments):
        result = app.test_cli_runner().invoke(args=["plugin", *arguments])
        assert "sk-" not in result.output
        return result

    return invoke


def test_everybody_who_has_none_gets_one(plugin, plugin_server, say, ada):
    bea = factories.user(username="bea").id
    factories.user(username="cat", state="disabled")
    run(provisioning.provision(plugin, bea))

    result = say("provision")

    assert (result.exit_code, result.output) == (0, "ada is there. There is no model to ask for yet.\n")
    assert [row["state"] for row in rows("plugin_users")] == ["ready", "ready"]
    assert say("provision").output == ""
    assert [row["act"] for row in rows("audit_log")] == ["plugin.provision"]
    assert rows("audit_log")[0]["address"] == "operator"


def test_one_who_cannot_be_provisioned_holds_up_no_other(plugin, plugin_server, say, ada):
    factories.user(username="bea")
    plugin_server.misbehave("/api/users", status=500)

    result = say("provision")

    assert result.exit_code == 1
    assert result.stdout == "bea is there. There is no model to ask for yet.\n"
    assert result.stderr == "ada: the Plug-in API answered 500 (other)\n"
    assert say("provision", "ada").exit_code == 0


def test_a_resync_finds_her_models(plugin, plugin_server, say, ada):
    say("provision", "ada")
    plugin_server.add_account(counterpart_of(plugin, ada).api_key)

    result = say("resync", "ADA")

    assert (result.exit_code, result.output) == (0, "ADA is there.\n")
    assert len(accounts_of(ada)) == 1


def test_a_key_is_rotated(plugin, plugin_server, say, ada):
    say("provision", "ada")
    old = counterpart_of(plugin, ada).api_key

    assert say("rotate-key", "ada").exit_code == 0

    assert not works(plugin_server, old)
    assert works(plugin_server, counterpart_of(plugin, ada).api_key)


@pytest.mark.parametrize("command", ["provision", "resync", "rotate-key"])
def test_what_cannot_be_is_said(plugin, plugin_server, say, ada, command):
    assert "There is no user nobody." in say(command, "nobody").output
    plugin_server.misbehave(".*", refuse=True, times=2)

    result = say(command, "ada")

    assert (result.exit_code, result.stderr) == (1, "ada: the Plug-in API cannot be reached\n")
    change("update users set state = 'disabled'")
    result = say(command, "ada")
    assert (result.exit_code, result.stderr) == (
        1,
        "ada: This user is disabled, and gets no user at the Plug-in API.\n",
    )


def test_everybody_is_listed(plugin, plugin_server, say, ada):
    bea = factories.user(username="bea").id
    factories.user(username="cat")
    say("provision", "ada")
    plugin_server.add_account(counterpart_of(plugin, ada).api_key)
    say("resync", "ada")
    plugin_server.misbehave(".*", status=500)
    say("provision", "bea")

    listed = [line.split(maxsplit=3) for line in say("list").output.splitlines()]

    account = accounts_of(ada)[0].id
    assert [line[1:] for line in listed] == [
        ["none", "-", "cat"],
        ["pending", "-", "bea  the Plug-in API answered 500 (other) (1 attempts)"],
        ["ready", str(account), "ada"],
    ]
    assert listed[1][0] == str(bea)


def test_orphans_are_printed(plugin, plugin_server, say, ada):
    say("provision", "ada")
    assert say("orphans").output == "There is none.\n"
    lost = plugin_server.create_user(binding_of(ada).name)

    assert say("orphans").output == f"{lost['user_id']}  {binding_of(ada).name}\n"
    plugin_server.misbehave("/api/users", refuse=True, times=2)
    assert (say("orphans").exit_code, say("orphans").exit_code) == (1, 0)


@pytest.mark.parametrize("arguments", [("provision",), ("resync", "ada"), ("rotate-key", "ada"), ("orphans",)])
def test_without_a_plug_in_the_setting_is_named(say, ada, arguments):
    result = say(*arguments)

    assert result.exit_code == 1
    assert "PLUGIN_API_BASE_URL" in result.output
