"""Signing up: closed, by invitation, or open; and every refusal leaves nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from shared_accounts.extensions import db
from shared_accounts.users import invitations
from tests import factories
from tests.conftest import rows

REGISTER = "/api/auth/register"
BODY = {"username": "newcomer", "password": "a sentence nobody knows"}


@pytest.fixture
def registration(with_settings):
    """Say who may sign up: `registration("open")`."""
    opened = []

    def change(how):
        context = with_settings(registration=how)
        context.__enter__()
        opened.append(context)

    yield change
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def invite(client):
    def make(max_uses=1, expires_at=None):
        invitation, code = invitations.invite(factories.admin().id, max_uses=max_uses, expires_at=expires_at, note=None)
        db.session.commit()
        return invitation, code

    return make


def test_nobody_signs_up_unless_the_operator_says_so(client):
    answer = client.post(REGISTER, json=BODY)

    assert (answer.status_code, answer.json["error_code"]) == (403, "REGISTRATION_CLOSED")
    assert rows("users") == []


def test_where_it_is_open_anybody_signs_up_and_is_signed_in(client, registration):
    registration("open")

    answer = client.post(REGISTER, json=BODY)

    assert answer.status_code == 201, answer.text
    assert answer.json["user"]["username"] == "newcomer"
    me = client.get("/api/auth/me", headers={"Authorization": f"Bearer {answer.json['access_token']}"})
    assert me.json["role"] == "user"
    entry = rows("audit_log")[0]
    assert (entry["act"], entry["details"]["how"], entry["address"]) == ("user.registered", "sign-up", "127.0.0.1")
    assert client.post("/api/auth/login", json=BODY).status_code == 200


def test_an_invitation_lets_as_many_in_as_it_says(client, registration, invite):
    registration("invite")
    invitation, code = invite(max_uses=2)

    statuses = [
        client.post(REGISTER, json={**BODY, "username": f"guest-{n}", "invitation_code": code}).status_code
        for n in range(3)
    ]

    assert statuses == [201, 201, 422]
    assert {row["invitation_id"] for row in rows("users") if row["username"].startswith("guest")} == {invitation.id}
    assert code not in str(rows("invitations"))


def test_of_many_who_use_the_last_place_at_once_one_gets_it(app, committed, client, registration, invite):
    registration("invite")
    _, code = invite()
    together = Barrier(6)

    def sign_up(n):
        together.wait()
        body = {**BODY, "username": f"guest-{n}", "invitation_code": code}
        return app.test_client().post(REGISTER, json=body).status_code

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(sign_up, range(6))) == [201] + [422] * 5
    assert len([row for row in rows("users") if row["username"].startswith("guest")]) == 1


def test_of_two_who_want_one_name_at_once_one_gets_it_and_the_other_keeps_her_invitation(
    app, committed, client, registration, invite
):
    registration("invite")
    _, code = invite(max_uses=2)
    together = Barrier(2)

    def sign_up(_):
        together.wait()
        return app.test_client().post(REGISTER, json={**BODY, "invitation_code": code}).status_code

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(sign_up, range(2))) == [201, 409]
    assert rows("invitations")[0]["uses"] == 1


USELESS = {
    "unknown": lambda _: "no-such-code",
    "expired": lambda invite: invite(expires_at=datetime.now(UTC) - timedelta(seconds=1))[1],
    "revoked": lambda invite: _revoked(*invite()),
}


def _revoked(invitation, code):
    invitations.revoke(invitation.id)
    db.session.commit()
    return code


@pytest.mark.parametrize("kind", USELESS)
def test_a_useless_invitation_lets_nobody_in_and_does_not_say_why(client, registration, invite, kind):
    registration("invite")

    answer = client.post(REGISTER, json={**BODY, "invitation_code": USELESS[kind](invite)})

    assert answer.status_code == 422
    assert answer.json["errors"]["json"] == {"invitation_code": ["This invitation is unknown, used up or over."]}
    assert not [row for row in rows("users") if row["username"] == "newcomer"]


def test_a_refused_sign_up_spends_no_invitation(client, registration, invite):
    registration("invite")
    _, code = invite()
    factories.user(username="NewComer")

    refused = [
        client.post(REGISTER, json={**BODY, "invitation_code": code}),
        client.post(REGISTER, json={**BODY, "username": "other", "password": "password", "invitation_code": code}),
    ]

    assert [answer.status_code for answer in refused] == [409, 422]
    assert rows("invitations")[0]["uses"] == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": "ab"}, "username"),
        ({"username": "x" * 51}, "username"),
        ({"username": "a\u200bbcd"}, "username"),
        ({"username": None}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "newcomer"}, "password"),
        ({"password": "qwertyuiop"}, "password"),
        ({"invitation_code": "x" * 101}, "invitation_code"),
        ({"role": "admin"}, "role"),
        ({"trust_level": 4}, "trust_level"),
    ],
)
def test_what_cannot_be_used_names_the_field(client, registration, changes, field):
    registration("open")

    answer = client.post(REGISTER, json={**BODY, **changes})

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]
    assert rows("users") == []


def test_without_a_code_an_invitation_is_asked_for(client, registration):
    registration("invite")

    assert "invitation_code" in client.post(REGISTER, json=BODY).json["errors"]["json"]


def test_strangers_ask_for_names_only_while_they_could_sign_up(client, registration):
    factories.user(username="Taken")
    assert client.get("/api/auth/check-username?username=taken").status_code == 401

    registration("open")

    answer = client.get("/api/auth/check-username?username=taken").json
    assert answer == {"exists": True, "message": "This user name is taken.", "username": "taken"}
    assert client.get("/api/auth/check-username?username=free").json["exists"] is False
    assert client.get("/api/auth/check-username").status_code == 422


def test_one_address_does_not_try_for_ever(client, registration, with_settings):
    with with_settings(registration="open", visit_limit="3 per minute"):
        statuses = [client.get("/api/auth/check-username?username=x").status_code for _ in range(4)]
        elsewhere = client.get("/api/auth/check-username?username=x", environ_base={"REMOTE_ADDR": "198.51.100.7"})

    assert statuses == [200, 200, 200, 429]
    assert elsewhere.status_code == 200


def test_without_redis_people_sign_up_and_are_still_counted(committed, client, with_settings, redis_server):
    redis_server.stop()
    try:
        with with_settings(registration="open", visit_limit="2 per minute"):
            statuses = [client.post(REGISTER, json={**BODY, "username": f"guest-{n}"}).status_code for n in range(3)]
    finally:
        redis_server.start()

    assert statuses == [201, 201, 429]
