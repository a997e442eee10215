"""Refresh tokens: good once, for half a minute again, and after that a reason to end the session."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import jwt
import pytest
from sqlalchemy import func, update

from shared_accounts import crypto
from shared_accounts.auth import tokens
from shared_accounts.auth.models import Session
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows


@pytest.fixture
def issued(client):
    made = tokens.issue(factories.user(username="alice"), user_agent="tests", address="127.0.0.1")
    db.session.commit()
    return made


def refresh(client, token, **options):
    return client.post("/api/auth/refresh", json={"refresh_token": token}, **options)


def me(client, token):
    return client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code


def let_pass(issued, **span):
    """Make the last rotation as old as this."""
    moved = update(Session).where(Session.id == issued.session_id)
    db.session.execute(moved.values(rotated_at=func.now() - timedelta(**span)))
    db.session.commit()


def test_a_refresh_gives_a_whole_new_pair_of_the_same_session(client, issued):
    answer = refresh(client, issued.refresh_token, headers={"User-Agent": "another browser"})

    assert answer.status_code == 200
    assert set(answer.json) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (answer.json["token_type"], answer.json["expires_in"]) == ("bearer", 86400)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["refresh_token"] != issued.refresh_token
    assert me(client, answer.json["access_token"]) == 200
    assert me(client, issued.access_token) == 200
    (row,) = rows("sessions")
    assert (row["id"], row["generation"], row["user_agent"]) == (issued.session_id, 1, "another browser")


def test_a_chain_of_refreshes_goes_on(client, issued):
    token = issued.refresh_token
    for _ in range(5):
        token = refresh(client, token).json["refresh_token"]

    assert rows("sessions")[0]["generation"] == 5


def test_a_token_just_spent_is_good_for_half_a_minute_more(client, issued):
    first = refresh(client, issued.refresh_token).json
    let_pass(issued, seconds=25)

    second = refresh(client, issued.refresh_token)

    assert second.status_code == 200
    for pair in (first, second.json):
        assert me(client, pair["access_token"]) == 200
        assert refresh(client, pair["refresh_token"]).status_code == 200
    assert rows("sessions")[0]["revoked_at"] is None


def test_a_token_spent_longer_ago_ends_the_whole_session(client, issued):
    pair = refresh(client, issued.refresh_token).json
    let_pass(issued, seconds=31)

    answer = refresh(client, issued.refresh_token)

    assert (answer.status_code, answer.json["error_code"]) == (401, "INVALID_TOKEN")
    assert me(client, pair["access_token"]) == me(client, issued.access_token) == 401
    assert refresh(client, pair["refresh_token"]).status_code == 401
    assert rows("sessions")[0]["ended_because"] == "a refresh token was used twice"


def test_a_token_of_two_generations_ago_ends_the_session_at_once(client, issued):
    second = refresh(client, issued.refresh_token).json
    refresh(client, second["refresh_token"])

    assert refresh(client, issued.refresh_token).status_code == 401
    assert me(client, second["access_token"]) == 401


def test_a_stolen_token_ends_one_session_and_no_other(client, issued):
    other = tokens.issue(factories.user(), user_agent=None, address=None)
    db.session.commit()
    refresh(client, issued.refresh_token)
    let_pass(issued, minutes=5)
    refresh(client, issued.refresh_token)

    assert me(client, other.access_token) == 200


def test_tabs_that_refresh_at_the_same_time_all_stay_signed_in(app, committed, client, issued):
    together = Barrier(8)

    def tab(_):
        together.wait()
        return refresh(app.test_client(), issued.refresh_token)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(tab, range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert {me(client, answer.json["access_token"]) for answer in answers} == {200}
    assert rows("sessions")[0]["generation"] == 1


def test_a_refresh_moves_the_end_of_a_session_on_but_not_for_ever(client, issued):
    table = update(Session).where(Session.id == issued.session_id)
    db.session.execute(table.values(expires_at=func.now() + timedelta(minutes=1)))
    db.session.commit()
    token = refresh(client, issued.refresh_token).json["refresh_token"]
    (row,) = rows("sessions")
    assert 6.9 < (row["expires_at"] - row["created_at"]) / timedelta(days=1) < 7.1

    db.session.execute(table.values(created_at=func.now() - timedelta(days=28)))
    db.session.commit()
    refresh(client, token)

    (row,) = rows("sessions")
    assert (row["expires_at"] - row["created_at"]).days == 30


def test_a_session_that_is_over_is_not_revived(client, issued):
    db.session.execute(update(Session).values(expires_at=func.now() - timedelta(seconds=1)))
    db.session.commit()

    assert refresh(client, issued.refresh_token).status_code == 401


def test_signing_out_ends_the_refresh_token_too(client, issued):
    headers = {"Authorization": f"Bearer {issued.access_token}"}
    client.post("/api/auth/logout", headers=headers, json={"refresh_token": issued.refresh_token})

    assert refresh(client, issued.refresh_token).status_code == 401


def test_a_disabled_user_refreshes_nothing_and_loses_nothing(client, issued):
    db.session.execute(db.text("update users set state = 'disabled'"))
    db.session.commit()
    answer = refresh(client, issued.refresh_token)
    assert (answer.status_code, answer.json["error_code"]) == (403, "ACCOUNT_DISABLED")

    db.session.execute(db.text("update users set state = 'active'"))
    db.session.commit()
    assert refresh(client, issued.refresh_token).status_code == 200


def test_neither_kind_of_token_stands_in_for_the_other(client, issued):
    assert refresh(client, issued.access_token).status_code == 401
    assert me(client, issued.refresh_token) == 401


FORGERIES = {
    "signed with the access key": {"key": lambda s: s.jwt_secret_key},
    "signed with another purpose's key": {"key": lambda s: crypto.derive(s.jwt_secret_key, b"something else")},
    "no generation": {"gen": None},
    "a generation that is no number": {"gen": "0"},
    "expired": {"exp": 1},
    "another session": {"sid": str(uuid.uuid4())},
    "no session": {"sid": None},
    "another audience": {"aud": "elsewhere"},
    "another issuer": {"iss": "elsewhere"},
    "another type": {"type": "access"},
    "a generation to come": {"gen": 7},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_refresh_token_is_refused(client, issued, settings, forgery):
    changes = dict(FORGERIES[forgery])
    key = changes.pop("key", lambda s: crypto.derive(s.jwt_secret_key, b"refresh token"))(settings)
    claims = {**jwt.decode(issued.refresh_token, options={"verify_signature": False}), **changes}
    token = jwt.encode({name: value for name, value in claims.items() if value is not None}, key, "HS256")

    assert refresh(client, token).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "refresh_token"), ({"refresh_token": None}, "refresh_token"), ({"refresh_token": 7}, "refresh_token")],
)
def test_a_body_without_a_token_names_the_field(client, body, field):
    answer = client.post("/api/auth/refresh", json=body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]


def test_tokens_of_the_secret_before_are_good_until_they_expire(client, issued, with_settings, settings):
    with with_settings(
        jwt_secret_key="the new one, of 32 characters or more", jwt_secret_key_fallbacks=(settings.jwt_secret_key,)
    ):
        assert me(client, issued.access_token) == 200
        answer = refresh(client, issued.refresh_token)
        assert answer.status_code == 200
        jwt.decode(
            answer.json["refresh_token"],
            crypto.derive("the new one, of 32 characters or more", b"refresh token"),
            ["HS256"],
            audience="shared_accounts",
        )
    with with_settings(jwt_secret_key="the new one, of 32 characters or more"):
        assert me(client, issued.access_token) == 401
