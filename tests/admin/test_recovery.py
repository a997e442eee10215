from __future__ import annotations

import uuid

import pytest

from shared_accounts.auth import factors, passwords
from shared_accounts.auth.models import SecondFactor
from shared_accounts.extensions import db
from shared_accounts.users import roster
from tests import factories
from tests.conftest import rows

USERS = "/api/admin/users"


@pytest.fixture
def alice(client):
    return factories.user(username="alice", password=factories.PASSWORD)


@pytest.fixture
def hers(alice, sign_in):
    return sign_in(alice)


def enroll(app, user):
    factors.begin(user.id, user.username, app.extensions["vault"])
    db.session.get(SecondFactor, user.id).confirmed_at = factories.ago(days=1)
    factors.renew_recovery_codes(user.id, app.extensions["vault"])
    db.session.commit()


def test_a_password_is_made_up_and_ends_her_sessions(admin, alice, hers, client, boss, acts):
    answer = admin.post(f"{USERS}/{alice.id}/password")

    assert answer.status_code == 200
    assert hers.get("/api/auth/me").status_code == 401
    (entry,) = acts()
    assert (entry["act"], entry["actor_id"], entry["user_id"]) == ("user.password_reset", boss.id, alice.id)
    assert entry["details"] == {"sessions_ended": 1}
    assert (entry["address"], entry["request_id"]) == ("127.0.0.1", answer.headers["x-request-id"])
    for password, status in ((factories.PASSWORD, 401), (answer.json["password"], 200)):
        assert client.post("/api/auth/login", json={"username": "alice", "password": password}).status_code == status


def test_a_password_that_was_sent_is_taken_and_not_sent_back(admin):
    single_sign_on = factories.user(username="bob")

    answer = admin.post(f"{USERS}/{single_sign_on.id}/password", json={"password": "another good one"})

    db.session.expire_all()
    assert (answer.status_code, answer.json) == (200, {})
    assert passwords.verify("another good one", roster.find_by_username("bob").password_hash)


@pytest.mark.parametrize("password", ["short", "password1", "x" * 1025, 7, ["a list of things"]])
def test_a_weak_password_is_refused_and_nothing_happens(admin, alice, hers, password):
    answer = admin.post(f"{USERS}/{alice.id}/password", json={"password": password})

    assert answer.status_code == 422
    assert "password" in answer.json["errors"]["json"]
    assert hers.get("/api/auth/me").status_code == 200
    assert rows("audit_log") == []


def test_a_name_is_no_password_for_whoever_bears_it(admin):
    user = factories.user(username="bluebird-of-prey")

    answer = admin.post(f"{USERS}/{user.id}/password", json={"password": "Bluebird-of-Prey"})

    assert answer.status_code == 422


def test_no_connection_is_held_while_a_password_is_hashed(committed, admin, alice, monkeypatch):
    held, path, plain = [], f"{USERS}/{alice.id}/password", passwords.bcrypt.hashpw
    monkeypatch.setattr(passwords.bcrypt, "hashpw", lambda *a: held.append(db.engine.pool.checkedout()) or plain(*a))
    committed.rollback()  # the test's own

    assert admin.post(path).status_code == 200
    assert admin.post(USERS, json={"username": "somebody"}).status_code == 201

    assert held == [0, 0]


def test_a_second_factor_and_its_codes_are_taken_away_and_her_sessions_end(admin, app, alice, hers, boss, acts):
    enroll(app, alice)

    answer = admin.delete(f"{USERS}/{alice.id}/second-factor")

    assert answer.json == {"message": "The second factor has been removed.", "success": True}
    assert rows("second_factors") == rows("recovery_codes") == []
    assert hers.get("/api/auth/me").status_code == 401
    (entry,) = acts()
    assert (entry["act"], entry["actor_id"], entry["user_id"]) == ("second_factor.reset", boss.id, alice.id)
    assert (entry["address"], entry["request_id"]) == ("127.0.0.1", answer.headers["x-request-id"])


def test_who_has_no_second_factor_loses_nothing(admin, alice, hers, acts):
    answer = admin.delete(f"{USERS}/{alice.id}/second-factor")

    assert (answer.status_code, answer.json["message"]) == (200, "There was no second factor.")
    assert hers.get("/api/auth/me").status_code == 200
    assert acts() == []


def test_somebodys_sessions_are_listed_and_ended_one_by_one(admin, alice, hers, sign_in, boss, acts):
    other = sign_in(alice)
    listed = admin.get(f"{USERS}/{alice.id}/sessions").json

    assert len(listed) == 2
    assert {one["is_current"] for one in listed} == {False}
    assert "Unknown" not in listed[0]["device"]

    answer = admin.delete(f"{USERS}/{alice.id}/sessions/{listed[0]['id']}")

    assert answer.json == {"message": "The session has been ended.", "success": True}
    assert sorted(client.get("/api/auth/me").status_code for client in (hers, other)) == [200, 401]
    (entry,) = acts()
    assert (entry["act"], entry["actor_id"], entry["user_id"]) == ("session.ended", boss.id, alice.id)
    assert entry["target"] == f"session:{listed[0]['id']}"
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert admin.delete(f"{USERS}/{alice.id}/sessions/{listed[0]['id']}").status_code == 404


def test_all_of_somebodys_sessions_end_at_once(admin, alice, hers, sign_in, boss, acts):
    others = sign_in(alice), sign_in(factories.user())

    answer = admin.delete(f"{USERS}/{alice.id}/sessions")

    assert answer.json["success"] is True
    assert [client.get("/api/auth/me").status_code for client in (hers, *others)] == [401, 401, 200]
    (entry,) = acts()
    assert (entry["act"], entry["user_id"], entry["details"]) == ("session.all_ended", alice.id, {"sessions": 2})


def test_a_session_is_found_only_at_whom_it_belongs_to(admin, alice, hers):
    bob = factories.user()
    (mine,) = admin.get(f"{USERS}/{alice.id}/sessions").json

    assert admin.delete(f"{USERS}/{bob.id}/sessions/{mine['id']}").status_code == 404
    assert admin.delete(f"{USERS}/{alice.id}/sessions/{uuid.uuid4()}").status_code == 404
    assert admin.delete(f"{USERS}/{alice.id}/sessions/not-a-uuid").status_code == 404
    assert hers.get("/api/auth/me").status_code == 200


def test_an_admin_recognises_the_session_that_asks(admin, boss):
    (mine,) = admin.get(f"{USERS}/{boss.id}/sessions").json

    assert mine["is_current"] is True
