from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from flask import g

from shared_accounts.auth import guards, tokens
from shared_accounts.auth.models import Session
from shared_accounts.errors import Forbidden, InvalidApiKey, NotSignedIn, UserDisabled, UserSilenced
from shared_accounts.extensions import db
from shared_accounts.keys import keyring
from shared_accounts.users.models import User
from tests import factories


@pytest.fixture
def at(app):
    """A request with these headers, as the guards see it."""
    return lambda **headers: app.test_request_context(headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.fixture
def credentials(committed):
    user = factories.user()
    _, secret = factories.api_key(user)
    issued = tokens.issue(user, user_agent=None, address=None)
    committed.commit()
    return secret, issued


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer {}"},
        {"Authorization": "bearer {}"},
        {"Authorization": "BEARER   {}  "},
        {"x-api-key": "{}"},
        {"X-Api-Key": "{}"},
        {"api-key": "{}"},
        {"Authorization": "Bearer {}", "x-api-key": "{}"},
        {"Authorization": "Bearer {}", "x-api-key": ""},
    ],
)
def test_a_tool_may_show_its_key_or_token_in_any_usual_place(at, credentials, headers):
    secret, issued = credentials

    with at(**{name: value.format(secret) for name, value in headers.items()}):
        assert guards.credential() == guards.Credential(keyring.fingerprint_of(secret), None)
    with at(**{name: value.format(issued.access_token) for name, value in headers.items()}):
        assert guards.credential() == guards.Credential(None, issued.session_id)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "{}"},
        {"Authorization": "Basic {}"},
        {"Authorization": "Basic dTpw", "x-api-key": "{}"},
        {"Authorization": "Bearer {} {}"},
        {"Authorization": "Bearer {}, Bearer {}"},
        {"Authorization": "Bearer {}", "x-api-key": "another"},
        {"x-api-key": "{}", "api-key": "another"},
        {"Cookie": "access_token={}"},
        {"x-goog-api-key": "{}"},
    ],
)
def test_anything_else_is_not_signed_in(at, credentials, headers):
    secret, _ = credentials

    with at(**{name: value.format(secret, secret) for name, value in headers.items()}), pytest.raises(NotSignedIn):
        guards.credential()


def test_a_mistyped_key_is_refused_without_a_query(at, credentials):
    secret, _ = credentials
    mistyped = secret[:10] + ("a" if secret[10] != "a" else "b") + secret[11:]

    with at(x_api_key=mistyped), pytest.raises(InvalidApiKey):
        guards.credential()


def test_a_caller_is_known_by_key_and_by_token(at, credentials):
    secret, issued = credentials
    user_id = db.session.scalar(db.select(User.id))

    with at(x_api_key=secret):
        by_key = guards.caller()
    with at(x_api_key=issued.access_token):
        by_token = guards.caller()

    assert by_key.user_id == by_token.user_id == user_id
    assert (by_key.session_id, by_token.session_id) == (None, issued.session_id)


def test_an_unknown_key_or_session_is_refused(at, settings, credentials):
    secret, issued = credentials
    db.session.delete(db.session.get(User, db.session.scalar(db.select(User.id))))
    db.session.commit()

    with at(x_api_key=secret), pytest.raises(InvalidApiKey):
        guards.caller()
    with at(x_api_key=issued.access_token), pytest.raises(NotSignedIn):
        guards.caller()


def test_a_disabled_caller_is_forbidden_at_once(at, credentials):
    db.session.scalar(db.select(User)).state = "disabled"
    db.session.commit()

    for value in (credentials[0], credentials[1].access_token):
        with at(x_api_key=value), pytest.raises(UserDisabled):
            guards.caller()


def test_a_person_is_told_apart_from_a_stranger(sign_in):
    alice = factories.user(username="alice")

    answer = sign_in(alice).get("/api/auth/me")

    assert (answer.status_code, answer.json["username"]) == (200, "alice")


def test_a_management_door_takes_no_key(client, session):
    _, secret = factories.api_key(factories.user())

    for headers in ({"Authorization": f"Bearer {secret}"}, {"x-api-key": secret}):
        assert client.get("/api/auth/me", headers=headers).status_code == 401


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
def test_the_scheme_has_no_case(client, session, scheme):
    issued = tokens.issue(factories.user(), user_agent=None, address=None)
    session.commit()

    answer = client.get("/api/auth/me", headers={"Authorization": f"{scheme} {issued.access_token}"})

    assert answer.status_code == 200


def test_disabling_a_user_shuts_every_session_with_the_next_request(sign_in, session):
    user = factories.user()
    hers = sign_in(user)

    user.state = "disabled"
    session.commit()

    answer = hers.get("/api/auth/me")
    assert (answer.status_code, answer.json["error_code"]) == (403, "ACCOUNT_DISABLED")


def test_a_session_past_its_time_is_no_session(sign_in, session):
    hers = sign_in(factories.user())

    session.scalar(db.select(Session)).expires_at = factories.ago(seconds=1)
    session.commit()

    assert hers.get("/api/auth/me").status_code == 401


def test_a_request_costs_one_query_to_guard(at, session, count_queries):
    issued = tokens.issue(factories.user(), user_agent=None, address=None)
    session.commit()
    view = guards.signed_in(lambda: g.person)

    with at(authorization=f"Bearer {issued.access_token}"), count_queries() as queries:
        assert view().session_id == issued.session_id

    assert len(queries) == 1


def test_only_admins_pass_the_admin_guard(at, session):
    view = guards.admin_only(lambda: "secret")
    for user, passes in ((factories.admin(), True), (factories.user(), False)):
        issued = tokens.issue(user, user_agent=None, address=None)
        session.commit()

        with at(authorization=f"Bearer {issued.access_token}"):
            if passes:
                assert view() == "secret"
            else:
                with pytest.raises(Forbidden):
                    view()
    with at(), pytest.raises(NotSignedIn):
        view()


@pytest.mark.parametrize("state", ["active", "silenced"])
def test_silenced_people_may_be_told_to_keep_quiet(at, state):
    with at():
        g.person = guards.Person(1, "alice", "user", state, uuid.uuid4(), False, timedelta(), timedelta())

        if state == "silenced":
            with pytest.raises(UserSilenced):
                guards.refuse_silenced()
        else:
            guards.refuse_silenced()
