from __future__ import annotations

import base64
import json
import time
import uuid

import jwt
import pytest

from shared_accounts.auth import tokens
from shared_accounts.auth.models import Session
from shared_accounts.errors import NotSignedIn
from tests import factories

HOUR = 3600


@pytest.fixture
def issued(session):
    made = tokens.issue(factories.user(username="alice"), user_agent="x" * 500, address="203.0.113.9")
    session.commit()
    return made


@pytest.fixture
def forge(settings, issued):
    """Sign a token like the issued one, with changed claims; None drops one."""

    def make(key=None, algorithm="HS256", headers=None, **changes):
        claims = {**jwt.decode(issued.access_token, options={"verify_signature": False}), **changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, settings.jwt_secret_key if key is None else key, algorithm, headers=headers)

    return make


def test_an_issued_token_leads_to_its_session(issued):
    assert tokens.read(issued.access_token) == issued.session_id


def test_a_token_says_who_until_when_and_nothing_secret(issued, session):
    claims = jwt.decode(issued.access_token, options={"verify_signature": False})

    assert claims["sub"].isdecimal()
    assert claims["username"] == "alice"
    assert claims["type"] == "access"
    assert claims["sid"] == str(issued.session_id)
    assert uuid.UUID(claims["jti"])
    assert claims["exp"] - claims["iat"] == issued.expires_in == 24 * HOUR


def test_a_session_remembers_the_device_but_not_endlessly(issued, session):
    row = session.get(Session, issued.session_id)

    assert (len(row.user_agent), row.address) == (200, "203.0.113.9")
    assert (row.expires_at - row.created_at).days == 7


def test_each_sign_in_is_a_session_of_its_own(session):
    user = factories.user()

    first, second = (tokens.issue(user, user_agent=None, address=None) for _ in range(2))

    assert first.session_id != second.session_id
    assert first.access_token != second.access_token


def _nested(depth):
    header = base64.urlsafe_b64encode(b"[" * depth).rstrip(b"=").decode()
    return f"{header}.e30.e30"


def _raw(header):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part({})}.{part('x')}"


BAD = {
    "no exp": {"exp": None},
    "no iat": {"iat": None},
    "no jti": {"jti": None},
    "no sid": {"sid": None},
    "no sub": {"sub": None},
    "no type": {"type": None},
    "no iss": {"iss": None},
    "no aud": {"aud": None},
    "expired": {"exp": int(time.time()) - 1},
    "from the future": {"iat": int(time.time()) + 10 * HOUR},
    "not yet": {"nbf": int(time.time()) + 10 * HOUR},
    "a refresh token": {"type": "refresh"},
    "an e-mail token": {"type": "verify-email"},
    "a list of types": {"type": ["access"]},
    "another issuer": {"iss": "somebody"},
    "another audience": {"aud": "somebody"},
    "an integer subject": {"sub": 1},
    "sid not a uuid": {"sid": "1"},
    "sid a number": {"sid": 1},
    "sid a list": {"sid": []},
    "exp a word": {"exp": "tomorrow"},
    "exp endless": {"exp": 1e400},
    "another key": {"key": "another key of the right length, 32+"},
    "HS512": {"algorithm": "HS512"},
    "alg none": {"algorithm": "none", "key": ""},
}
"""Tokens that are signed, most of them rightly, and still must not pass."""

MALFORMED = {
    "kid a number": _raw({"alg": "HS256", "kid": 7}),
    "alg a list": _raw({"alg": ["HS256"]}),
    "header a list": _raw([]),
    "empty": "",
    "a word": "token",
    "dots": "..",
    "many dots": "a.b.c.d.e",
    "an API key": "sk-" + "a" * 64,
    "not ASCII": "\xff\xfe.\xff.\xff",
    "nested deeply": _nested(6000),
}


@pytest.mark.filterwarnings("ignore:The HMAC key is")
@pytest.mark.parametrize("name", BAD)
def test_a_signed_token_with_the_wrong_claims_is_refused_without_saying_why(name, forge, client):
    _assert_refused(forge(**BAD[name]), client)


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_token_is_refused_without_saying_why(name, client):
    _assert_refused(MALFORMED[name], client)


def test_a_changed_payload_or_a_missing_signature_is_refused(forge, client):
    header, payload, signature = forge().split(".")

    _assert_refused(f"{header}.{forge(sub='2').split('.')[1]}.{signature}", client)
    _assert_refused(f"{header}.{payload}.", client)


def _assert_refused(token, client):
    with pytest.raises(NotSignedIn):
        tokens.read(token)
    answer = client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["error_code"] == "AUTHENTICATION_FAILED"


def test_the_forger_itself_works(forge, issued):
    assert tokens.read(forge()) == issued.session_id


def test_a_revoked_session_stays_revoked_and_twice_is_harmless(issued, session):
    tokens.revoke(issued.session_id)
    session.commit()
    first = session.get(Session, issued.session_id).revoked_at

    tokens.revoke(issued.session_id)
    session.commit()

    assert first is not None
    assert session.get(Session, issued.session_id).revoked_at == first


def test_a_caller_is_found_by_her_session_in_whatever_state_she_is(committed):
    user = factories.user(state="silenced", prefer_shared=True)
    issued = tokens.issue(user, user_agent=None, address=None)
    committed.commit()

    caller = tokens.authenticate(issued.session_id)

    assert (caller.user_id, caller.state, caller.prefer_shared, caller.use_only_dedicated) == (
        user.id,
        "silenced",
        True,
        False,
    )
    assert (caller.session_id, caller.api_key_id, caller.fingerprint) == (issued.session_id, None, None)


def test_a_session_that_is_over_leads_to_nobody(committed):
    user = factories.user()
    revoked, expired = (tokens.issue(user, user_agent=None, address=None).session_id for _ in range(2))
    tokens.revoke(revoked)
    committed.get(Session, expired).expires_at = factories.ago(seconds=1)
    committed.commit()

    assert tokens.authenticate(revoked) is None
    assert tokens.authenticate(expired) is None
    assert tokens.authenticate(uuid.uuid4()) is None
