"""By whichever door somebody comes in, her provisioning waits in the broker once she is there, and not before."""

from __future__ import annotations

import pytest

from shared_accounts.errors import Conflict
from shared_accounts.extensions import db
from shared_accounts.users import invitations, roster
from tests import factories
from tests.auth.flow import offering
from tests.auth.flow import sign_in as come_by_single_sign_on
from tests.auth.idp import Idp
from tests.plugin.provisioned import plugin, queued
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["plugin", "plugin_process", "plugin_server"]

PASSWORD = "a sentence nobody knows"
BODY = {"username": "newcomer", "password": PASSWORD}
PROVISION = "shared_accounts.provision_plugin_user"


@pytest.fixture
def sent_for(committed, redis_server):
    """Whose provisioning waits."""

    def names(*, rollback=True):
        if rollback:
            db.session.rollback()
        found = [
            (task, [roster.get(number).username for number in numbers]) for task, numbers in queued(redis_server.url())
        ]
        assert {task for task, _ in found} <= {PROVISION}
        return [name for _, [name] in found]

    return names


def test_by_signing_up(plugin, client, sent_for, with_settings):
    with with_settings(registration="open"):
        assert client.post("/api/auth/register", json=BODY).status_code == 201

    assert sent_for() == ["newcomer"]


def test_by_an_invitation(plugin, client, sent_for, with_settings):
    _, code = invitations.invite(factories.admin().id, max_uses=1, expires_at=None, note=None)
    db.session.commit()

    with with_settings(registration="invite"):
        answer = client.post("/api/auth/register", json={**BODY, "invitation_code": code})

    assert answer.status_code == 201, answer.json
    assert sent_for() == ["newcomer"]


def test_by_single_sign_on_and_only_the_first_time(app, plugin, client, sent_for):
    server = Idp()
    with offering(app, server):
        for _ in range(2):
            assert come_by_single_sign_on(client, server).status_code == 200
    server.stop()

    assert sent_for() == ["alice"]


def test_by_an_admin(plugin, sign_in, client, sent_for):
    admin = sign_in(factories.admin())

    assert admin.post("/api/admin/users", json={"username": "newcomer"}).status_code == 201

    assert sent_for() == ["newcomer"]


def test_by_an_operator(app, plugin, sent_for):
    assert app.test_cli_runner().invoke(args=["users", "create", "newcomer"]).exit_code == 0

    assert sent_for() == ["newcomer"]


def test_as_the_first_admin(app, plugin, sent_for, with_settings):
    with with_settings(admin_username="root-admin", admin_password=PASSWORD):
        assert app.test_cli_runner().invoke(args=["users", "bootstrap"]).exit_code == 0

    assert sent_for() == ["root-admin"]


def test_not_before_she_is_there_and_once(plugin, sent_for):
    roster.register("newcomer")
    with pytest.raises(Conflict):
        roster.register("NEWCOMER")
    assert roster.find_by_username("newcomer")
    assert sent_for(rollback=False) == []

    db.session.commit()
    db.session.commit()

    assert sent_for() == ["newcomer"]


def test_not_where_there_is_no_plug_in(committed, sent_for):
    roster.register("newcomer")
    db.session.commit()

    assert sent_for() == []


def test_whoever_was_not_let_in_after_all_is_not_sent_for(plugin, committed, redis_server):
    roster.register("somebody")
    db.session.rollback()
    newcomer = roster.register("newcomer").id
    with pytest.raises(Conflict):
        roster.register("NEWCOMER")
    db.session.commit()

    assert queued(redis_server.url()) == [(PROVISION, [newcomer])]
