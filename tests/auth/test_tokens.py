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
    assert (row.expires_at - row.created_at).total_seconds() == issued.expires_in


def test_each_sign_in_is_a_session_of_its_own(session):
    user = factories.user()

    first, second = (tokens.issue(user, user_agent=None, address=None) for _ in range(2))

    assert first.session_id != second.session_id
    assert first.access_token != second.access_token


def _nested(depth):
    header = base64.urlsafe_b64encode(b"[" * depth).rstrip(b"=").decode()
    return f"{header}.e30.e30"


BAD = {
    "no exp": lambda forge, _: forge(exp=None),
    "no iat": lambda forge, _: forge(iat=None),
    "no jti": lambda forge, _: forge(jti=None),
    "no sid": lambda forge, _: forge(sid=None),
    "no sub": lambda forge, _: forge(sub=None),
    "no type": lambda forge, _: forge(type=None),
    "no iss": lambda forge, _: forge(iss=None),
    "no aud": lambda forge, _: forge(aud=None),
    "expired": lambda forge, _: forge(exp=int(time.time()) - 1),
    "from the future": lambda forge, _: forge(iat=int(time.time()) + HOUR),
    "not yet": lambda forge, _: forge(nbf=int(time.time()) + HOUR),
    "a refresh token": lambda forge, _: forge(type="refresh"),
    "an e-mail token": lambda forge, _: forge(type="verify-email"),
    "a list of types": lambda forge, _: forge(type=["access"]),
    "another issuer": lambda forge, _: forge(iss="somebody"),
    "another audience": lambda forge, _: forge(aud="somebody"),
    "an integer subject": lambda forge, _: forge(sub=1),
    "sid not a uuid": lambda forge, _: forge(sid="1"),
    "sid a number": lambda forge, _: forge(sid=1),
    "sid a list": lambda forge, _: forge(sid=[]),
    "exp a word": lambda forge, _: forge(exp="tomorrow"),
    "exp endless": lambda forge, _: forge(exp=1e400),
    "another key": lambda forge, _: forge(key="another key of the right length, 32+"),
    "HS512": lambda forge, _: forge(algorithm="HS512", key="k" * 64),
    "HS512 with our key": lambda forge, settings: forge(algorithm="HS512", key=settings.jwt_secret_key * 2),
    "alg none": lambda forge, _: forge(algorithm="none", key=""),
    "kid a number": lambda forge, _: _raw({"alg": "HS256", "kid": 7}),
    "alg a list": lambda forge, _: _raw({"alg": ["HS256"]}),
    "header a list": lambda forge, _: _raw([]),
    "no signature": lambda forge, _: forge().rpartition(".")[0] + ".",
    "another payload": lambda forge, _: ".".join(
        [forge().split(".")[0], forge(sub="2").split(".")[1], forge().split(".")[2]]
    ),
    "empty": lambda forge, _: "",
    "a word": lambda forge, _: "token",
    "dots": lambda forge, _: "..",
    "many dots": lambda forge, _: "a.b.c.d.e",
    "an API key": lambda forge, _: "sk-" + "a" * 64,
    "not ASCII": lambda forge, _: "\xff\xfe.\xff.\xff",
    "nested deeply": lambda forge, _: _nested(6000),
}


def _raw(header):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part({})}.{part('x')}"


@pytest.mark.filterwarnings("ignore:The HMAC key is")
@pytest.mark.parametrize("name", BAD)
def test_any_other_token_is_refused_without_saying_why(name, forge, settings, client):
    token = BAD[name](forge, settings)

    with pytest.raises(NotSignedIn):
        tokens.read(token)
    answer = client.get(
        "/api/auth/me", headers={"Authorization": f"Bearer {token}".encode("latin-1").decode("latin-1")}
    )

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
