"""Who has to wait for her user at the Plug-in API is hastened, and nobody's messages pile up."""

from __future__ import annotations

import pytest

from shared_accounts import tasks
from shared_accounts.extensions import db
from shared_accounts.plugin import provisioning
from tests import factories
from tests.plugin.provisioned import binding_of, change, plugin, queued, run
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["plugin", "plugin_process", "plugin_server"]

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Say hello."}]}
PROVISION = "shared_accounts.provision_plugin_user"


@pytest.fixture
def ada(committed):
    return factories.user(username="ada")


@pytest.fixture
def waiting(redis_server):
    return lambda: queued(redis_server.url())


def test_however_often_somebody_chats_she_is_sent_for_once_in_a_while(plugin, client, ada, waiting):
    user_id, (_, key) = ada.id, factories.api_key(ada)

    answers = [client.post("/v1/chat/completions", json=CHAT, headers={"x-api-key": key}) for _ in range(10)]

    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {(503, "5")}
    assert 1 <= len(waiting()) < 10
    assert all(one == (PROVISION, [user_id]) for one in waiting())


def test_whoever_is_there_already_hears_that_there_is_no_such_model(plugin, client, ada, waiting):
    _, key = factories.api_key(ada)
    run(provisioning.provision(plugin, ada.id))

    assert client.post("/v1/chat/completions", json=CHAT, headers={"x-api-key": key}).status_code == 404
    assert waiting() == []


def test_a_message_that_finds_somebody_at_it_ends(plugin, plugin_server, ada, waiting):
    plugin_server.misbehave(".*", status=500)
    run(provisioning.provision(plugin, ada.id))
    next(provisioning.provision(plugin, ada.id))
    db.session.commit()

    tasks.provision_plugin_user(ada.id)

    assert binding_of(ada.id).problem
    assert waiting() == []


def test_whoever_is_disabled_while_she_waits_is_sent_for_no_more(plugin, plugin_server, ada, waiting, redis_server):
    user_id = ada.id
    plugin_server.misbehave(".*", status=500)
    tasks.provision_plugin_user(user_id)
    assert [task for task, _ in waiting()] == [PROVISION]

    change("update users set state = 'disabled'")
    tasks.provision_plugin_user(user_id)

    assert len(waiting()) == 1
