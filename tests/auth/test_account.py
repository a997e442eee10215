"""One's own sessions and password."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import func, update

from shared_accounts.auth import passwords, sessions, tokens
from shared_accounts.auth.models import Session
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows
from tests.factories import PASSWORD

NEW = "a quite different sentence"


@pytest.fixture
def user(client):
    return factories.user(username="alice", password=PASSWORD)


@pytest.fixture
def log_in(app, client, user):
    """Sign Alice in, each time on another browser."""

    def browser(agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"):
        made = app.test_client()
        made.environ_base["HTTP_USER_AGENT"] = agent
        answer = made.post("/api/auth/login", json={"username": "alice", "password": PASSWORD})
        made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['access_token']}"
        made.refresh_token = answer.json["refresh_token"]
        return made

    return browser


def acts():
    return [row["act"] for row in rows("audit_log")]


def test_a_user_sees_where_she_is_signed_in(log_in):
    log_in("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1")
    here = log_in()

    found = here.get("/api/auth/sessions").json

    assert {one["device"] for one in found} == {"Firefox on Linux", "Safari on iPhone"}
    assert [one["device"] for one in found if one["is_current"]] == ["Firefox on Linux"]
    assert all(one["last_seen_at"] and one["expires_at"] and one["address"] == "127.0.0.1" for one in found)
    assert found[0]["method"] == "password"


def test_of_two_browsers_the_one_that_was_ended_is_out(log_in):
    gone, here = log_in(), log_in()
    (other,) = (one["id"] for one in here.get("/api/auth/sessions").json if not one["is_current"])

    assert here.delete(f"/api/auth/sessions/{other}").json["success"] is True

    assert gone.get("/api/auth/me").status_code == 401
    assert gone.post("/api/auth/refresh", json={"refresh_token": gone.refresh_token}).status_code == 401
    assert here.get("/api/auth/me").status_code == 200
    assert here.delete(f"/api/auth/sessions/{other}").status_code == 404
    assert acts()[-1] == "session.ended"


def test_somebody_elses_session_is_as_unknown_as_none(log_in, client):
    here = log_in()
    hers = tokens.issue(factories.user())
    db.session.commit()

    assert here.delete(f"/api/auth/sessions/{hers.session_id}").status_code == 404
    assert here.delete(f"/api/auth/sessions/{uuid.uuid4()}").status_code == 404
    assert here.delete("/api/auth/sessions/nonsense").status_code == 404
    assert client.get("/api/auth/me", headers={"Authorization": f"Bearer {hers.access_token}"}).status_code == 200


def test_signing_out_everywhere_ends_every_session_and_no_key(log_in, user):
    _, secret = factories.api_key(user)
    browsers = [log_in() for _ in range(3)]

    assert browsers[0].post("/api/auth/logout-all").json["success"] is True

    assert {one.get("/api/auth/me").status_code for one in browsers} == {401}
    assert rows("api_keys")[0]["is_active"]


def test_a_changed_password_ends_the_other_sessions(log_in, client):
    other, here = log_in(), log_in()

    answer = here.post("/api/auth/password", json={"current_password": PASSWORD, "new_password": NEW})

    assert answer.status_code == 200, answer.text
    assert other.get("/api/auth/me").status_code == 401
    assert here.get("/api/auth/me").status_code == 200
    for password, status in ((PASSWORD, 401), (NEW, 200)):
        body = {"username": "alice", "password": password}
        assert client.post("/api/auth/login", json=body).status_code == status
    assert "user.password_changed" in acts()
    assert NEW not in str(rows("audit_log"))


def test_a_wrong_current_password_is_no_end_of_the_session_and_counts_as_a_guess(log_in, client):
    here = log_in()
    body = {"current_password": "wrong", "new_password": NEW}

    answers = [here.post("/api/auth/password", json=body) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [422] * 5 + [429]
    assert "current_password" in answers[0].json["errors"]["json"]
    assert here.get("/api/auth/me").status_code == 200
    assert client.post("/api/auth/login", json={"username": "alice", "password": PASSWORD}).status_code == 429


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"current_password": PASSWORD}, "new_password"),
        ({"current_password": PASSWORD, "new_password": "short"}, "new_password"),
        ({"current_password": PASSWORD, "new_password": "password123"}, "new_password"),
        ({"current_password": PASSWORD, "new_password": "shared_accounts1"}, "new_password"),
        ({"current_password": PASSWORD, "new_password": "x" * 1025}, "new_password"),
        ({"new_password": NEW}, "current_password"),
        ({"current_password": PASSWORD, "new_password": NEW, "username": "bob"}, "username"),
    ],
)
def test_a_password_that_cannot_be_used_names_the_field_and_changes_nothing(log_in, user, body, field):
    here = log_in()

    answer = here.post("/api/auth/password", json=body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]
    db.session.refresh(user)
    assert passwords.verify(PASSWORD, user.password_hash)


def test_who_has_no_password_sets_a_first_one_soon_after_signing_in(sign_in, client):
    user = factories.user(username="by-sso")
    hers = sign_in(user)
    grow_stale()
    answer = hers.post("/api/auth/password", json={"new_password": NEW})
    assert (answer.status_code, answer.json["error_code"]) == (401, "FRESH_SIGN_IN_REQUIRED")

    assert sign_in(user).post("/api/auth/password", json={"new_password": NEW}).status_code == 200

    assert client.post("/api/auth/login", json={"username": "by-sso", "password": NEW}).status_code == 200


def grow_stale():
    db.session.execute(update(Session).values(authenticated_at=func.now() - timedelta(minutes=16)))
    db.session.commit()


def test_a_sign_in_is_made_fresh_again_by_the_password(log_in):
    here = log_in()
    grow_stale()
    assert here.post("/api/auth/second-factor").status_code == 401

    assert here.post("/api/auth/reauthenticate", json={"password": "wrong"}).status_code == 422
    assert here.post("/api/auth/reauthenticate", json={}).status_code == 422
    assert here.post("/api/auth/reauthenticate", json={"password": PASSWORD}).status_code == 200

    assert here.post("/api/auth/second-factor").status_code == 201


def test_a_refresh_does_not_make_a_sign_in_fresh(log_in):
    here = log_in()
    grow_stale()
    pair = here.post("/api/auth/refresh", json={"refresh_token": here.refresh_token}).json
    here.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {pair['access_token']}"

    assert here.post("/api/auth/second-factor").json["error_code"] == "FRESH_SIGN_IN_REQUIRED"


def test_who_has_nothing_to_prove_herself_with_signs_in_anew(member):
    answer = member.post("/api/auth/reauthenticate", json={})

    assert (answer.status_code, answer.json["error_code"]) == (401, "FRESH_SIGN_IN_REQUIRED")


def test_keys_need_a_fresh_sign_in_only_where_the_operator_says_so(log_in, with_settings):
    here = log_in()
    grow_stale()
    assert here.post("/api/api-keys", json={"name": "a"}).status_code == 201

    with with_settings(keys_need_fresh_sign_in=True):
        assert here.post("/api/api-keys", json={"name": "b"}).json["error_code"] == "FRESH_SIGN_IN_REQUIRED"


def test_a_session_is_seen_once_a_minute(committed, client):
    issued = tokens.issue(factories.user())
    db.session.commit()
    headers = {"Authorization": f"Bearer {issued.access_token}"}
    client.get("/api/auth/me", headers=headers)
    (fresh,) = rows("sessions")
    assert fresh["last_seen_at"] == fresh["created_at"]

    db.session.execute(update(Session).values(last_seen_at=func.now() - timedelta(hours=1)))
    db.session.commit()
    client.get("/api/auth/me", headers=headers)

    db.session.rollback()
    (seen,) = rows("sessions")
    assert seen["last_seen_at"] > fresh["last_seen_at"]


def test_sessions_long_over_are_forgotten(session):
    user = factories.user()
    kept, ended, expired = (tokens.issue(user).session_id for _ in range(3))
    old = func.now() - timedelta(days=31)
    session.execute(update(Session).where(Session.id == ended).values(revoked_at=old))
    session.execute(update(Session).where(Session.id == expired).values(expires_at=old))

    assert sessions.forget_old() == 2

    assert [row["id"] for row in rows("sessions")] == [kept]


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (None, "Unknown"),
        ("", "Unknown"),
        ("curl/8.5.0", "curl"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0) Version/17.0 Safari/605.1", "Safari on Mac OS X"),
        ("<script>alert(1)</script>", "<script>alert(1)<"),
    ],
)
def test_a_device_has_a_name(agent, name):
    assert sessions.device(agent) == name
