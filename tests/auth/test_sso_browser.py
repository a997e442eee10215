"""Single sign-on in a browser: its cookie, where it lands, the one-time code; and linking."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from shared_accounts.auth import landing
from shared_accounts.auth.models import Identity, Session
from shared_accounts.extensions import db
from tests import factories
from tests.auth.flow import NOBODY, PAGE, begin, come_back, news, offering, sign_in, there_are
from tests.auth.idp import fields
from tests.auth.linux_do import GitHub, LinuxDo
from tests.conftest import rows

LOGIN = "/api/auth/oidc/linux_do/login"
EXCHANGE = "/api/auth/exchange"
LINK = "/api/auth/identities/linux_do/link"


@pytest.fixture
def linux_do(app):
    server = LinuxDo()
    with offering(app, server):
        yield server
    server.stop()


def leave(client, **options):
    """The address a browser is sent to."""
    answer = client.get(LOGIN, headers=PAGE, **options)
    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.headers["Location"]


def land(client, linux_do, **query):
    return come_back(client, "linux_do", linux_do.authorize(leave(client, query_string=query)), headers=PAGE)


def refused(answer, status=400, code="INVALID_OAUTH_STATE"):
    assert (answer.status_code, answer.json["error_code"]) == (status, code), answer.json


def test_a_browser_comes_home_with_a_code_that_is_exchanged_once(client, session, linux_do):
    answer = land(client, linux_do, next="/console/keys?page=2#top")

    target = urlsplit(answer.headers["Location"])
    assert (target.scheme, target.netloc, target.path, target.fragment) == (
        "http",
        "localhost:8008",
        "/console/keys",
        "top",
    )
    assert news(answer).keys() == {"sign_in_code", "page"}
    assert there_are()["sessions"] == 0

    code = {"code": news(answer)["sign_in_code"]}
    signed_in, again = client.post(EXCHANGE, json=code), client.post(EXCHANGE, json=code)
    assert signed_in.status_code == 200
    assert signed_in.json.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert signed_in.json["user"]["username"] == "Bee"
    refused(again)
    assert signed_in.json["access_token"] not in str(answer.headers)


def test_a_program_can_ask_to_be_sent_like_a_browser(client, session, linux_do):
    answer = client.get(LOGIN, query_string={"redirect": "1"})

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"{linux_do.origin}/oauth2/authorize?")


ACCEPTS = {"application/json": 200, "*/*": 200, None: 200, "text/html": 302, "application/json, text/html": 200}


@pytest.mark.parametrize(("accept", "status"), ACCEPTS.items(), ids=map(str, ACCEPTS))
def test_only_who_prefers_pages_is_sent_to_one(client, session, linux_do, accept, status):
    headers = {} if accept is None else {"Accept": accept}

    assert client.get(LOGIN, headers=headers).status_code == status
    assert (
        come_back(client, "linux_do", linux_do.authorize(begin(client, "linux_do")), headers=headers).status_code
        == status
    )


def test_the_code_belongs_to_the_browser_that_came_back(client, session, app, linux_do):
    code = {"code": news(land(client, linux_do))["sign_in_code"]}

    refused(app.test_client().post(EXCHANGE, json=code))
    refused(client.post(EXCHANGE, json=code))
    assert there_are()["sessions"] == 0


def test_the_code_has_its_time(client, session, linux_do):
    code = {"code": news(land(client, linux_do))["sign_in_code"]}
    left = db.session.execute(db.text("select extract(epoch from max(expires_at) - now()) from tickets")).scalar_one()
    db.session.execute(db.text("update tickets set expires_at = now() - interval '1 second'"))
    db.session.commit()

    refused(client.post(EXCHANGE, json=code))
    assert 50 < left <= 60


@pytest.mark.parametrize("code", ["unknown", "x" * 256, "\u00e9"])
def test_a_code_nobody_gave_is_refused(client, session, code):
    refused(client.post(EXCHANGE, json={"code": code}))


@pytest.mark.parametrize(
    "body", [{}, {"code": ""}, {"code": None}, {"code": 7}, {"code": "x" * 257}, {"code": "x", "state": "y"}], ids=str
)
def test_an_exchange_is_a_code_and_nothing_else(client, session, body):
    assert client.post(EXCHANGE, json=body).status_code == 422


def test_a_state_is_no_code_and_a_code_is_no_state(client, session, linux_do):
    brought = linux_do.authorize(begin(client, "linux_do"))
    refused(client.post(EXCHANGE, json={"code": brought["state"]}))
    assert come_back(client, "linux_do", brought).status_code == 200

    code = news(land(client, linux_do))["sign_in_code"]
    refused(come_back(client, "linux_do", {"code": "c", "state": code}))
    assert client.post(EXCHANGE, json={"code": code}).status_code == 200


def test_who_was_disabled_a_moment_ago_gets_nothing_for_her_code(client, session, linux_do):
    code = {"code": news(land(client, linux_do))["sign_in_code"]}
    db.session.execute(db.text("update users set state = 'disabled'"))
    db.session.commit()

    refused(client.post(EXCHANGE, json=code), 403, "ACCOUNT_DISABLED")


def test_a_front_end_elsewhere_gets_the_browser_and_exchanges_the_code_itself(
    client, session, app, linux_do, with_settings
):
    with with_settings(front_end_url="https://front.test/app"):
        answer = land(client, linux_do, next="/here")
        code = {"code": news(answer)["sign_in_code"]}
        signed_in = app.test_client().post(EXCHANGE, json=code)
        again = client.post(EXCHANGE, json=code)

    assert answer.headers["Location"].startswith("https://front.test/app/here?sign_in_code=")
    assert signed_in.status_code == 200
    refused(again)


def test_a_front_end_on_our_origin_is_not_elsewhere(client, session, app, linux_do, with_settings):
    with with_settings(front_end_url="http://LOCALHOST:8008/app"):
        code = {"code": news(land(client, linux_do))["sign_in_code"]}

        refused(app.test_client().post(EXCHANGE, json=code))


FAILURES = {
    "no answer at all": ({}, "VALIDATION_ERROR"),
    "an unknown state": ({"code": "c", "state": "s"}, "INVALID_OAUTH_STATE"),
    "the provider's own refusal": ({"error": "access_denied"}, "OAUTH_ERROR"),
}


@pytest.mark.parametrize(("brought", "code"), FAILURES.values(), ids=FAILURES)
def test_a_browser_is_told_a_failure_by_its_code(client, session, linux_do, brought, code):
    for path in ("/api/auth/sso/callback", "/api/auth/oidc/linux_do/callback"):
        answer = client.get(path, query_string=brought, headers=PAGE)
        assert news(answer) == {"sign_in_error": code}
        assert answer.headers["Location"].startswith("http://localhost:8008/?")
    assert there_are() == NOBODY


def test_a_browser_lands_where_it_wanted_to_even_if_it_was_refused(client, session, linux_do):
    linux_do.user["active"] = False

    answer = land(client, linux_do, next="/console")

    assert answer.headers["Location"] == "http://localhost:8008/console?sign_in_error=ACCOUNT_DISABLED"


def test_a_browser_that_comes_too_often_is_told_so_too(client, session, linux_do, with_settings):
    with with_settings(visit_limit="1 per minute"):
        leave(client)
        assert news(come_back(client, "linux_do", {}, headers=PAGE)) == {"sign_in_error": "RATE_LIMITED"}


def test_an_unknown_provider_is_told_by_code_too(client, session, linux_do):
    assert news(come_back(client, "nobody", {"code": "c", "state": "s"}, headers=PAGE)) == {
        "sign_in_error": "PROVIDER_NOT_CONFIGURED"
    }


def cookies(answer):
    return answer.headers.getlist("Set-Cookie")


def test_the_cookie_is_for_us_alone(client, session, app, linux_do, with_settings):
    (plain,) = cookies(client.get(LOGIN))
    with with_settings(public_url="https://a.test"), offering(app, linux_do, redirect_uri="https://a.test/cb"):
        (secure,) = cookies(app.test_client().get(LOGIN, base_url="https://a.test"))

    name, *flags = plain.split("; ")
    assert name.startswith("sso=")
    assert len(name) == len("sso=") + 43
    assert {flag for flag in flags if not flag.startswith("Expires")} == {
        "HttpOnly",
        "Max-Age=600",
        "Path=/",
        "SameSite=Lax",
    }
    name, *flags = secure.split("; ")
    assert name.startswith("__Host-sso=")
    assert {flag for flag in flags if not flag.startswith("Expires")} == {
        "Secure",
        "HttpOnly",
        "Max-Age=600",
        "Path=/",
        "SameSite=Lax",
    }


def test_the_whole_way_over_https(client, session, app, linux_do, with_settings):
    base = "https://a.test"
    with (
        with_settings(public_url=base),
        offering(app, linux_do, redirect_uri=f"{base}/api/auth/oidc/linux_do/callback"),
    ):
        url = client.get(LOGIN, base_url=base).json["authorization_url"]
        answer = come_back(client, "linux_do", linux_do.authorize(url), base_url=base, headers=PAGE)
        signed_in = client.post(EXCHANGE, json={"code": news(answer)["sign_in_code"]}, base_url=base)

    assert signed_in.status_code == 200


def test_a_cookie_we_could_have_set_is_kept_and_any_other_is_not(client, session, linux_do):
    (first,) = cookies(client.get(LOGIN))
    (second,) = cookies(client.get(LOGIN))
    client.set_cookie("sso", "planted")
    (third,) = cookies(client.get(LOGIN))

    values = [text.partition(";")[0].removeprefix("sso=") for text in (first, second, third)]
    assert values[0] == values[1] != values[2]
    assert len(values[2]) == 43


def test_what_is_kept_of_a_departure_tells_a_reader_of_the_table_nothing(client, session, linux_do):
    url = leave(client, query_string={"next": "/secret-place"})

    (ticket,) = rows("tickets")
    kept = repr(ticket)
    cookie = client.get_cookie("sso").value
    assert [
        text for text in (fields(urlsplit(url).query)["state"], cookie, "secret-place", "verifier") if text in kept
    ] == []


AWAY = [
    "//evil.test",
    "///evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "/\\/evil.test",
    "https:evil.test",
    "https://evil.test/",
    "http://localhost:8008@evil.test/",
    "http://localhost:8008/",
    "javascript:alert(1)",
    "data:text/html,x",
    "/%2f%2fevil.test",
    "/%2F/evil.test",
    "/%5cevil.test",
    "/%09/evil.test",
    "\t//evil.test",
    "/\t/evil.test",
    "/\n/evil.test",
    "/a\r\nSet-Cookie: a=b",
    "/a%0d%0aSet-Cookie: a=b",
    " /console",
    "@evil.test",
    ".evil.test",
    ":80@evil.test",
    "console",
    "",
    "?a=b",
    "/" + "a" * 600,
    "//[",
]
HERE = [
    "/",
    "/console",
    "/console/keys?page=2&q=a%20b",
    "/a//b",
    "/konsole/schlüssel",
    "/console#top",
    "/@evil.test",
    "/a:b",
    "/a?next=//evil.test",
]


@pytest.mark.parametrize("wanted", AWAY, ids=repr)
def test_no_link_leads_away(client, session, linux_do, wanted):
    answer = land(client, linux_do, next=wanted)

    target = urlsplit(answer.headers["Location"])
    assert (target.scheme, target.netloc, target.path) == ("http", "localhost:8008", "/")
    assert news(answer).keys() == {"sign_in_code"}
    assert "Set-Cookie: a=b" not in str(answer.headers)


@pytest.mark.parametrize("wanted", [*AWAY, "/\x00", "/\x7f"], ids=repr)
def test_what_might_lead_away_is_taken_for_the_start(wanted):
    assert landing.local_path(wanted) == "/"


@pytest.mark.parametrize("wanted", HERE, ids=repr)
def test_a_path_of_ours_is_where_one_lands(client, session, linux_do, wanted):
    answer = land(client, linux_do, next=wanted)

    assert answer.headers["Location"].startswith("http://localhost:8008/")
    assert landing.local_path(wanted) == wanted


def test_nobody_plants_news_of_her_own(client, session, linux_do):
    answer = land(client, linux_do, next="/a?sign_in_code=planted&sign_in_error=x&identity_linked=y&b=c")

    told = news(answer)
    assert told.keys() == {"sign_in_code", "b"}
    assert told["sign_in_code"] != "planted"


# Linking


@pytest.fixture
def alice(client, session, request):
    """Somebody with a password who signed in a moment ago."""
    user = factories.user(username="alice", password=factories.PASSWORD)
    made = request.getfixturevalue("sign_in")(user)
    made.user_id = user.id
    return made


def link(client, linux_do, **options):
    begun = client.post(LINK, query_string={"next": "/settings"})
    assert begun.status_code == 200, begun.json
    return come_back(client, "linux_do", linux_do.authorize(begun.json["authorization_url"]), **options)


def test_a_linked_identity_signs_its_owner_in(client, session, alice, linux_do):
    linked = link(alice, linux_do)
    listed = alice.get("/api/auth/identities").json
    user = sign_in(client, linux_do).json["user"]

    assert linked.json == {"message": "The identity has been linked.", "success": True}
    assert [(one["provider"], one["name"]) for one in listed] == [("linux_do", "Bee")]
    assert "subject" not in listed[0]
    assert (user["id"], user["username"]) == (alice.user_id, "alice")
    assert there_are()["users"] == 1


def test_a_browser_lands_with_word_of_the_link(client, session, alice, linux_do):
    answer = link(alice, linux_do, headers=PAGE)

    assert answer.headers["Location"] == "http://localhost:8008/settings?identity_linked=linux_do"
    assert there_are()["identities"] == 1


def test_linking_twice_changes_nothing(client, session, alice, linux_do):
    assert [link(alice, linux_do).status_code for _ in range(2)] == [200, 200]
    assert there_are()["identities"] == 1


def test_an_identity_of_somebody_else_cannot_be_taken(client, session, alice, linux_do):
    owner = sign_in(client, linux_do).json["user"]["id"]

    answer = link(alice, linux_do)

    assert answer.status_code == 409
    assert [row["user_id"] for row in rows("identities")] == [owner]


def test_linking_ends_in_the_browser_where_it_began(client, session, app, alice, linux_do):
    url = alice.post(LINK).json["authorization_url"]

    refused(come_back(app.test_client(), "linux_do", linux_do.authorize(url)))
    assert there_are()["identities"] == 0


def test_where_a_front_end_finishes_it_has_to_be_her_who_is_signed_in(client, session, app, alice, linux_do, request):
    somebody = request.getfixturevalue("member")
    answers = {}
    with offering(app, linux_do, redirect_uri="https://front.test/cb"):
        for name, finisher in (("a stranger", app.test_client()), ("somebody", somebody), ("alice", alice)):
            url = alice.post(LINK).json["authorization_url"]
            brought = linux_do.authorize(url)
            answers[name] = finisher.post("/api/auth/oidc/linux_do/callback", json=brought).status_code

    assert answers == {"a stranger": 401, "somebody": 400, "alice": 200}


def test_an_inactive_account_elsewhere_is_not_linked(client, session, alice, linux_do):
    linux_do.user["active"] = False

    refused(link(alice, linux_do), 403, "ACCOUNT_DISABLED")
    assert there_are()["identities"] == 0


def test_who_was_disabled_on_the_way_links_nothing(client, session, alice, linux_do):
    url = alice.post(LINK).json["authorization_url"]
    db.session.execute(db.text("update users set state = 'disabled'"))
    db.session.commit()

    refused(come_back(alice, "linux_do", linux_do.authorize(url)), 403, "ACCOUNT_DISABLED")
    assert there_are()["identities"] == 0


def test_linking_and_unlinking_take_a_fresh_sign_in(client, session, alice, linux_do):
    link(alice, linux_do)
    (identity,) = alice.get("/api/auth/identities").json
    db.session.execute(db.update(Session).values(authenticated_at=factories.ago(minutes=16)))
    db.session.commit()

    for answer in (alice.post(LINK), alice.delete(f"/api/auth/identities/{identity['id']}")):
        refused(answer, 401, "FRESH_SIGN_IN_REQUIRED")
    assert alice.get("/api/auth/identities").status_code == 200


def test_an_identity_can_be_removed_but_not_the_last_way_in(client, session, app, linux_do):
    signed_in = sign_in(client, linux_do).json
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {signed_in['access_token']}"
    (first,) = client.get("/api/auth/identities").json
    path = f"/api/auth/identities/{first['id']}"
    assert client.delete(path).status_code == 409

    github = GitHub()
    github.user["login"] = "bee-hub"
    with offering(app, github):
        url = client.post("/api/auth/identities/github/link").json["authorization_url"]
        assert come_back(client, "github", github.authorize(url)).status_code == 200
    github.stop()

    assert client.delete(path).json == {"message": "The identity has been unlinked.", "success": True}
    assert client.delete(path).status_code == 404
    (left,) = client.get("/api/auth/identities").json
    assert left["provider"] == "github"
    assert client.delete(f"/api/auth/identities/{left['id']}").status_code == 409


def test_an_identity_of_somebody_else_is_not_there(client, session, alice, linux_do):
    sign_in(client, linux_do)

    assert alice.delete(f"/api/auth/identities/{rows('identities')[0]['id']}").status_code == 404
    assert alice.get("/api/auth/identities").json == []
    assert there_are()["identities"] == 1


def at_once(*acts):
    """Do these at the same time; returns what came of each."""
    together = threading.Barrier(len(acts))

    def run(act):
        together.wait(10)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_of_two_removals_at_once_one_leaves_a_way_in(client, committed, app, linux_do):
    token = sign_in(client, linux_do).json["access_token"]
    hers = {"Authorization": f"Bearer {token}"}
    user_id = rows("users")[0]["id"]
    db.session.add(Identity(user_id=user_id, provider="github", subject="1"))
    db.session.commit()
    paths = [f"/api/auth/identities/{row['id']}" for row in rows("identities")]

    answers = at_once(*(lambda path=path: app.test_client().delete(path, headers=hers).status_code for path in paths))

    assert sorted(answers) == [200, 409]
    assert there_are()["identities"] == 1


def test_of_two_returns_at_once_one_counts(client, committed, app, linux_do):
    brought = linux_do.authorize(begin(client, "linux_do"))
    cookie = client.get_cookie("sso").value

    def again():
        tab = app.test_client()
        tab.set_cookie("sso", cookie)
        return come_back(tab, "linux_do", brought).status_code

    assert sorted(at_once(again, again)) == [200, 400]
    assert there_are() == {"users": 1, "identities": 1, "sessions": 1}
    assert len(linux_do.asked("/oauth2/token")) == 1
