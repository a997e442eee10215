"""Signing in with Linux.do and GitHub: what travels, who it makes, and who it does not let in."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from shared_accounts.auth import providers
from shared_accounts.config import load
from shared_accounts.extensions import db
from shared_accounts.users import standing
from shared_accounts.users.models import User
from tests import factories
from tests.auth.flow import NOBODY, PAGE, begin, come_back, news, offering, sign_in, there_are
from tests.auth.idp import CLIENT_ID, CLIENT_SECRET, Idp, fields
from tests.auth.linux_do import GitHub, LinuxDo
from tests.conftest import rows
from tests.upstream import says


@pytest.fixture
def linux_do(app):
    server = LinuxDo()
    with offering(app, server):
        yield server
    server.stop()


@pytest.fixture
def github(app):
    server = GitHub()
    with offering(app, server):
        yield server
    server.stop()


def only_user(session) -> User:
    session.expire_all()
    return session.scalars(db.select(User)).one()


def test_what_linux_do_gets_to_see(client, session, linux_do):
    begun = client.get("/api/auth/sso/initiate")
    asked = fields(urlsplit(begun.json["authorization_url"]).query)
    answer = client.get("/api/auth/sso/callback", query_string=linux_do.authorize(begun.json["authorization_url"]))

    assert answer.status_code == 200, answer.json
    assert begun.json == {"authorization_url": begun.json["authorization_url"], "state": asked["state"]}
    redirect_uri = "http://localhost:8008/api/auth/oidc/linux_do/callback"
    assert asked.keys() == {
        "client_id",
        "response_type",
        "state",
        "redirect_uri",
        "code_challenge",
        "code_challenge_method",
    }
    assert (asked["client_id"], asked["response_type"], asked["redirect_uri"]) == (CLIENT_ID, "code", redirect_uri)
    assert (asked["code_challenge_method"], len(asked["state"])) == ("S256", 43)

    (exchange,) = linux_do.asked("/oauth2/token")
    (form,) = linux_do.spent
    assert form.keys() == {"grant_type", "code", "redirect_uri", "code_verifier"}
    assert (form["grant_type"], form["redirect_uri"]) == ("authorization_code", redirect_uri)
    assert 43 <= len(form["code_verifier"]) <= 128
    assert exchange.header("authorization") == "Basic b3VyLWlkOm91ci1zZWNyZXQtd2hpY2gtaXMtbG9uZy1lbm91Z2gtZm9yLWhzMjU2"
    assert exchange.header("content-type").startswith("application/x-www-form-urlencoded")

    (who,) = linux_do.asked("/api/user")
    assert (who.method, who.header("authorization"), who.body) == ("GET", "Bearer ld-token", b"")
    for request in (exchange, who):
        assert request.header("accept") == "application/json"
        assert request.names.isdisjoint({"cookie", "referer"})


def test_the_answer_is_that_of_a_sign_in_by_password(client, session, linux_do):
    answer = sign_in(client, linux_do)

    assert answer.json.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert (answer.json["token_type"], answer.headers["Cache-Control"]) == ("bearer", "no-store")
    told = {
        name: answer.json["user"][name]
        for name in ("username", "avatar_url", "trust_level", "is_active", "is_silenced")
    }
    assert told == {
        "username": "Bee",
        "avatar_url": "https://linux.do/user_avatar/bee.png",
        "trust_level": 2,
        "is_active": True,
        "is_silenced": False,
    }
    me = client.get("/api/auth/me", headers={"Authorization": f"Bearer {answer.json['access_token']}"})
    assert me.json == answer.json["user"]
    (row,) = rows("sessions")
    assert row["method"] == "linux_do"
    (identity,) = rows("identities")
    assert (identity["provider"], identity["subject"], identity["name"]) == ("linux_do", "124", "Bee")


def test_a_front_end_elsewhere_finishes_from_its_server_without_our_cookie(client, session, app, linux_do):
    with offering(app, linux_do, redirect_uri="https://front.test/api/auth/callback"):
        url = client.get("/api/auth/sso/initiate").json["authorization_url"]
        brought = linux_do.authorize(url)
        answer = app.test_client().get("/api/auth/sso/callback", query_string=brought)
        again = app.test_client().get("/api/auth/sso/callback", query_string=brought)

    assert answer.status_code == 200, answer.json
    assert {"access_token", "refresh_token", "expires_in", "user"} <= answer.json.keys()
    assert (again.status_code, again.json["error_code"]) == (400, "INVALID_OAUTH_STATE")


def test_there_no_browser_may_bring_such_an_answer_to_us_itself(client, session, app, linux_do):
    with offering(app, linux_do, redirect_uri="https://front.test/api/auth/callback"):
        brought = linux_do.authorize(client.get("/api/auth/sso/initiate").json["authorization_url"])
        answer = come_back(app.test_client(), "linux_do", brought, headers=PAGE)

    assert news(answer) == {"sign_in_error": "INVALID_OAUTH_STATE"}
    assert there_are() == NOBODY


def test_a_second_sign_in_is_the_same_user_with_what_is_new(client, session, linux_do):
    first = sign_in(client, linux_do).json["user"]
    linux_do.user |= {"username": "Wasp", "avatar_url": None, "avatar": "https://linux.do/wasp.png", "trust_level": 4}

    second = sign_in(client, linux_do).json["user"]

    assert second["id"] == first["id"]
    assert (second["username"], second["avatar_url"], second["trust_level"]) == ("Bee", "https://linux.do/wasp.png", 4)
    assert there_are() == {"users": 1, "identities": 1, "sessions": 2}


TOLD = {
    "a name of its own": ({"username": None}, {"username": "B. Bee"}),
    "no name at all": ({"username": None, "name": None}, {"username": "linux_do_124"}),
    "a name that is none": ({"username": "\u200b \x00", "name": 7}, {"username": "linux_do_124"}),
    "a name beyond our length": ({"username": "b" * 300}, {"username": "b" * 50}),
    "a name too short for us": ({"username": "b"}, {"username": "b__"}),
    "a name with what no name has": ({"username": "b\u202eee\ud800"}, {"username": "bee"}),
    "trust beyond the highest": ({"trust_level": 9}, {"trust_level": 4}),
    "negative trust": ({"trust_level": -1}, {"trust_level": 0}),
    "trust in words": ({"trust_level": "4"}, {"trust_level": 0}),
    "trust that is a switch": ({"trust_level": True}, {"trust_level": 0}),
    "no trust": ({"trust_level": None}, {"trust_level": 0}),
    "silenced": ({"silenced": True}, {"is_silenced": True}),
    "silenced in words": ({"silenced": "yes"}, {"is_silenced": False}),
    "nothing about silence or activity": ({"silenced": None, "active": None}, {"is_silenced": False}),
    "a picture without TLS": ({"avatar_url": "http://linux.do/a.png"}, {"avatar_url": None}),
    "a picture that is a script": ({"avatar_url": "javascript:alert(1)"}, {"avatar_url": None}),
    "a picture of any length": ({"avatar_url": "https://linux.do/" + "a" * 500}, {"avatar_url": None}),
    "a picture that is no address": ({"avatar_url": "https://["}, {"avatar_url": None}),
    "an id in quotes": ({"id": "124"}, {}),
}


@pytest.mark.parametrize(("told", "expected"), TOLD.values(), ids=TOLD)
def test_what_linux_do_says_is_taken_as_far_as_it_makes_sense(client, session, linux_do, told, expected):
    linux_do.user |= told

    answer = sign_in(client, linux_do)

    assert answer.status_code == 200, answer.json
    assert {name: answer.json["user"][name] for name in expected} == expected


@pytest.mark.parametrize("nobody", [None, "", " ", True, 1.5, [], {}, "a" * 300, "a\x00b", "\ud800"], ids=repr)
def test_who_has_no_id_is_nobody(client, session, linux_do, nobody):
    linux_do.user["id"] = nobody

    answer = sign_in(client, linux_do)

    assert (answer.status_code, answer.json["error_code"]) == (400, "OAUTH_USER_INFO_FAILED")
    assert there_are() == NOBODY


def test_who_is_not_active_there_is_refused(client, session, linux_do):
    linux_do.user["active"] = False

    answer = sign_in(client, linux_do)

    assert (answer.status_code, answer.json["error_code"]) == (403, "ACCOUNT_DISABLED")
    assert there_are() == NOBODY


def test_a_taken_name_gets_a_number_and_its_owner_keeps_it(client, session, linux_do):
    owner = factories.user(username="bee", password=factories.PASSWORD).id

    user = sign_in(client, linux_do).json["user"]

    assert (user["username"], user["id"] == owner) == ("Bee-2", False)


def test_silence_and_trust_follow_a_trusted_provider_until_an_admin_decides(client, session, linux_do):
    sign_in(client, linux_do)
    linux_do.user |= {"silenced": True, "trust_level": 1}
    silenced = sign_in(client, linux_do).json["user"]
    linux_do.user |= {"silenced": False, "trust_level": 3}
    restored = sign_in(client, linux_do).json["user"]
    assert (silenced["is_silenced"], silenced["trust_level"]) == (True, 1)
    assert (restored["is_silenced"], restored["trust_level"]) == (False, 3)

    user = only_user(session)
    standing.set_state(user, "silenced")
    standing.set_trust(user, 0)
    session.commit()

    user = sign_in(client, linux_do).json["user"]
    assert (user["is_silenced"], user["trust_level"]) == (True, 0)


def test_an_untrusted_provider_has_no_say(client, session, app, linux_do):
    linux_do.user["silenced"] = True
    with offering(app, linux_do, trusted=False):
        user = sign_in(client, linux_do).json["user"]

    assert (user["is_silenced"], user["trust_level"]) == (False, 0)


def test_a_disabled_user_stays_out(client, session, linux_do):
    sign_in(client, linux_do)
    only_user(session).state = "disabled"
    session.commit()

    answer = sign_in(client, linux_do)

    assert (answer.status_code, answer.json["error_code"]) == (403, "ACCOUNT_DISABLED")
    assert there_are()["sessions"] == 1


def test_with_sign_up_switched_off_only_known_people_come_in(client, session, linux_do, with_settings):
    sign_in(client, linux_do)

    with with_settings(sso_registration=False):
        known = sign_in(client, linux_do)
        linux_do.user["id"] = 125
        unknown = sign_in(client, linux_do)

    assert known.status_code == 200
    assert (unknown.status_code, unknown.json["error_code"]) == (403, "ACCOUNT_CREATION_DISABLED")
    assert there_are() == {"users": 1, "identities": 1, "sessions": 2}


def test_the_same_subject_at_two_providers_is_two_people(client, session, app, linux_do):
    other, idp = GitHub(), Idp()
    other.user |= {"login": "Bee"}
    idp.subject = "124"
    made = []
    for server in (linux_do, other, idp):
        with offering(app, server):
            made.append(sign_in(client, server).json["user"]["id"])
    other.stop()
    idp.stop()

    assert len(set(made)) == 3


def test_two_first_sign_ins_at_once_make_one_user(client, committed, app, linux_do):
    together = threading.Barrier(2)

    def arrive() -> int:
        mine = app.test_client()
        brought = linux_do.authorize(begin(mine, "linux_do"))
        together.wait(10)
        return come_back(mine, "linux_do", brought).json["user"]["id"]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(arrive), pool.submit(arrive)

    assert first.result() == second.result()
    assert there_are() == {"users": 1, "identities": 1, "sessions": 2}


REFUSED = {
    "the token endpoint refuses": (
        "/oauth2/token",
        says(b'{"error": "invalid_grant"}', status=400),
        "OAUTH_TOKEN_EXCHANGE_FAILED",
    ),
    "201 is not 200": (
        "/oauth2/token",
        says(b'{"access_token": "ld-token"}', status=201),
        "OAUTH_TOKEN_EXCHANGE_FAILED",
    ),
    "no token in it": ("/oauth2/token", says(b'{"scope": "default"}'), "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "a token that is none": ("/oauth2/token", says(b'{"access_token": 7}'), "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "a token with a header in it": (
        "/oauth2/token",
        says(b'{"access_token": "a\\r\\nb: c"}'),
        "OAUTH_TOKEN_EXCHANGE_FAILED",
    ),
    "a list": ("/oauth2/token", says(b'["access_token"]'), "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "not UTF-8": ("/oauth2/token", says(b'{"access_token": "\xff"}'), "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "nested without end": ("/oauth2/token", says(b'{"a":' + b"[" * 100_000), "OAUTH_TOKEN_EXCHANGE_FAILED"),
    "nobody behind the token": ("/api/user", says(b"{}", status=401), "OAUTH_USER_INFO_FAILED"),
    "a page instead of JSON": (
        "/api/user",
        says(b"<h1>hello</h1>", headers=[("content-type", "text/html")]),
        "OAUTH_USER_INFO_FAILED",
    ),
}


@pytest.mark.parametrize(("path", "act", "code"), REFUSED.values(), ids=REFUSED)
def test_an_answer_that_is_none_signs_nobody_in(client, session, linux_do, path, act, code):
    linux_do.routes[path] = act

    answer = sign_in(client, linux_do)

    assert (answer.status_code, answer.json["error_code"]) == (400, code)
    assert there_are() == NOBODY


def test_github_gets_the_secret_in_the_body(client, session, github):
    github.user = {
        "id": 583231,
        "login": "octocat",
        "name": "The Octocat",
        "avatar_url": "https://avatars.test/u/1",
        "trust_level": 4,
    }
    url = client.get("/api/auth/github/login").json["authorization_url"]
    answer = client.post("/api/auth/github/callback", json=github.authorize(url))

    assert answer.status_code == 200, answer.json
    user = answer.json["user"]
    assert (user["username"], user["avatar_url"], user["trust_level"]) == ("octocat", "https://avatars.test/u/1", 0)
    assert parse_qs(urlsplit(url).query)["scope"] == ["read:user user:email"]
    (form,) = github.spent
    assert form.keys() == {"grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret"}
    assert (form["client_id"], form["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
    (exchange,) = github.asked("/login/oauth/access_token")
    assert (exchange.header("accept"), exchange.header("authorization")) == ("application/json", None)
    assert rows("identities")[0]["subject"] == "583231"


def test_github_refuses_with_status_200(client, session, github):
    brought = github.authorize(begin(client, "github"))

    answer = come_back(client, "github", {**brought, "code": "wrong"})

    assert (answer.status_code, answer.json["error_code"]) == (400, "OAUTH_TOKEN_EXCHANGE_FAILED")
    assert "incorrect" not in answer.text
    assert there_are() == NOBODY


def test_signing_in_goes_on_while_redis_is_away(client, session, linux_do, redis_server, frozen, impatient):
    with frozen(redis_server.pid):
        answer = sign_in(client, linux_do)

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/api/auth/oidc/linux_do/login", "/api/auth/sso/initiate", "/api/auth/github/login"])
def test_a_provider_that_is_not_set_up_is_refused(client, session, app, path):
    with offering(app):
        answer = client.get(path)

    assert (answer.status_code, answer.json["error_code"]) == (400, "PROVIDER_NOT_CONFIGURED")


def test_every_step_is_throttled_by_address(client, session, linux_do, with_settings):
    steps = [
        ("GET", "/api/auth/sso/initiate"),
        ("GET", "/api/auth/sso/callback"),
        ("GET", "/api/auth/oidc/linux_do/login"),
        ("GET", "/api/auth/oidc/linux_do/callback"),
        ("POST", "/api/auth/oidc/linux_do/callback"),
        ("GET", "/api/auth/github/login"),
        ("POST", "/api/auth/github/callback"),
        ("POST", "/api/auth/exchange"),
    ]
    with with_settings(visit_limit="1 per minute"):
        client.get("/api/auth/sso/initiate")
        for method, path in steps:
            body = {"code": "c", "state": "s"} if "callback" in path else {"code": "c"}
            answer = client.open(path, method=method, json=body if method == "POST" else None)
            assert (answer.status_code, answer.json["error_code"]) == (429, "RATE_LIMITED"), path
            assert int(answer.headers["Retry-After"]) > 0


def test_the_list_of_providers(client, session, app, linux_do):
    idp = Idp()
    with offering(app, linux_do), offering(app, linux_do, idp):
        listed = client.get("/api/auth/oidc/providers").json
    idp.stop()

    assert listed["providers"][1] == {
        "id": "idp",
        "name": "The IdP",
        "type": "oidc",
        "enabled": True,
        "supports_refresh": True,
        "description": "Sign in with The IdP",
    }
    assert "secret" not in str(listed)


def test_nothing_that_travels_is_logged(client, session, app, linux_do, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("authlib", "urllib3"):
        assert not logging.getLogger(f"{name}.any").isEnabledFor(logging.INFO)
    brought = linux_do.authorize(begin(client, "linux_do"))
    tokens = come_back(client, "linux_do", brought).json
    come_back(client, "linux_do", brought)

    written = "\n".join(
        str(vars(record)) for record in caplog.records if record.name.startswith(("shared_accounts", "authlib"))
    )
    secrets = [
        *brought.values(),
        linux_do.spent[0]["code_verifier"],
        CLIENT_SECRET,
        "ld-token",
        tokens["access_token"],
        tokens["refresh_token"],
    ]
    assert [secret for secret in secrets if secret in written] == []
    outcomes = [(r.provider, r.outcome) for r in caplog.records if hasattr(r, "outcome")]
    assert outcomes == [("linux_do", "accepted"), ("linux_do", "INVALID_OAUTH_STATE")]


def test_what_an_operator_sets_up_is_what_there_is(environment):
    nothing = load(environment)
    oidc = '[{"id": "pid", "issuer": "https://id.test/", "client_id": "c", "client_secret": "s"}]'
    linux_do = {"OAUTH_CLIENT_ID": "a", "OAUTH_CLIENT_SECRET": "b"}
    everything = load(
        {
            **environment,
            **linux_do,
            "GITHUB_CLIENT_ID": "a",
            "GITHUB_CLIENT_SECRET": "b",
            "OIDC_PROVIDERS": oidc,
            "PUBLIC_URL": "https://a.test/b/",
        }
    )
    half = load({**environment, "OAUTH_CLIENT_ID": "a", "GITHUB_CLIENT_SECRET": "b"})
    seed = load({**environment, **linux_do, "OAUTH_REDIRECT_URI": "http://localhost:8008/api/auth/sso/callback"})

    assert providers.configured(nothing) == providers.configured(half) == {}
    found = providers.configured(everything)
    assert {one.id: (one.kind, one.redirect_uri, one.trusted) for one in found.values()} == {
        "linux_do": ("oauth2", "https://a.test/b/api/auth/oidc/linux_do/callback", True),
        "github": ("oauth2", "https://a.test/b/api/auth/oidc/github/callback", False),
        "pid": ("oidc", "https://a.test/b/api/auth/oidc/pid/callback", False),
    }
    assert providers.configured(seed)["linux_do"].redirect_uri == "http://localhost:8008/api/auth/sso/callback"
    assert "client_secret" not in repr(found["linux_do"])
