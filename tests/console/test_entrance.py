from __future__ import annotations

import re

import pyotp
import pytest

from shared_accounts.auth import factors
from shared_accounts.extensions import db
from shared_accounts.users import invitations
from tests import factories
from tests.auth.flow import offering
from tests.auth.linux_do import LinuxDo
from tests.conftest import rows
from tests.console.reader import PAGE, Reader


def live_sessions():
    return [row for row in rows("sessions") if row["revoked_at"] is None]


def test_a_browser_is_led_from_the_root_to_the_entrance_and_in(reader, lin):
    entrance = reader.follow(reader.follow(reader.get("/")))
    assert "Sign in" in entrance.text

    answer = reader.send(entrance, "/sign-in", username="lin wei", password=factories.PASSWORD)

    assert (answer.status, answer.location) == (303, "/overview")
    assert "Welcome, Lin Wei" in reader.follow(answer).text


def test_programs_find_at_the_root_what_they_always_found(client):
    assert client.get("/").json["service"] == "shared_accounts"
    assert client.get("/", headers={"Accept": "application/json"}).json["service"] == "shared_accounts"


def test_a_wrong_password_and_an_unknown_name_look_the_same(reader, lin):
    wrong = reader.sign_in("Lin Wei", "not it at all")
    unknown = reader.sign_in("nobody-here", "not it at all")

    assert wrong.status == unknown.status == 401
    assert wrong.text == unknown.text
    assert "That did not match" in wrong.text
    assert reader.cookie("session_token") is None
    assert [row["act"] for row in rows("audit_log")].count("sign_in.refused") == 2


def test_a_password_never_comes_back_in_a_page(reader, lin):
    assert "not-it-at-all" not in reader.sign_in("Lin Wei", "not-it-at-all").source


def test_too_many_tries_are_told_as_such(reader, lin, with_settings):
    with with_settings(login_limit="1 per minute"):
        reader.sign_in("Lin Wei", "wrong")
        answer = reader.sign_in("Lin Wei")

    assert answer.status == 429
    assert "Too many tries" in answer.text


def test_a_disabled_user_is_told_so_only_with_her_password(reader):
    factories.user(username="gone", password=factories.PASSWORD, state="disabled")

    assert "That did not match" in reader.sign_in("gone", "wrong").text
    assert "has been disabled" in reader.sign_in("gone").text


def test_the_cookies_are_out_of_reach_of_scripts(reader, lin):
    answer = reader.sign_in("Lin Wei")

    given = {cookie.partition("=")[0]: cookie for cookie in answer.headers.getlist("Set-Cookie")}
    for name in ("session_token", "renewal_token"):
        assert "HttpOnly" in given[name]
        assert "SameSite=Lax" in given[name]
        assert "Path=/" in given[name]
        assert "Domain" not in given[name]


def test_over_https_the_cookies_are_bound_to_this_host(app, lin, with_settings):
    with with_settings(public_url="https://pool.example"):
        reader = Reader(app)
        entrance = reader.get("/sign-in", base_url="https://pool.example")
        fields = {**entrance.form("/sign-in").fields, "username": "Lin Wei", "password": factories.PASSWORD}
        answer = reader.post("/sign-in", fields, base_url="https://pool.example")

    kept = [cookie for cookie in answer.headers.getlist("Set-Cookie") if not cookie.partition("=")[2].startswith(";")]
    assert {cookie.partition("=")[0] for cookie in kept} == {"__Host-session_token", "__Host-renewal_token"}
    assert all("Secure" in cookie for cookie in kept)


def test_the_cookie_opens_no_door_of_the_api(browser):
    assert browser.client.get("/api/auth/me").status_code == 401
    assert browser.client.post("/api/auth/logout-all").status_code == 401
    assert browser.client.get("/v1/models").status_code == 401


def test_a_bearer_token_opens_no_page(member):
    assert member.get("/overview").status_code == 401


def test_signing_in_leads_to_the_page_that_was_asked_for(reader, lin):
    asked = reader.get("/quota?group=m")
    assert asked.location == "/sign-in?next=/quota?group%3Dm"

    answer = reader.send(reader.follow(asked), "/sign-in", username="Lin Wei", password=factories.PASSWORD)

    assert answer.location == "/quota?group=m"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_nowhere_else(reader, lin, elsewhere):
    entrance = reader.get("/sign-in", query_string={"next": elsewhere})
    answer = reader.send(entrance, "/sign-in", username="Lin Wei", password=factories.PASSWORD, next=elsewhere)

    assert answer.location == "/overview"


def test_signing_in_anew_ends_the_session_before(browser, lin):
    before = browser.cookie("session_token")
    again = browser.get("/sign-in?again=1")
    browser.send(again, "/sign-in", username="Lin Wei", password=factories.PASSWORD)

    assert browser.cookie("session_token") != before
    assert len(live_sessions()) == 1
    assert browser.get("/overview").status == 200


def test_signing_out_ends_the_session_and_not_only_the_cookie(browser, app):
    token = browser.cookie("session_token")
    answer = browser.send(browser.get("/overview"), "/sign-out")

    assert answer.location == "/sign-in"
    assert browser.cookie("session_token") is None
    assert live_sessions() == []
    assert Reader(app, session_token=token).get("/overview").status == 303


def test_signing_out_everywhere_ends_every_session(signed_in, lin):
    here, there = signed_in(lin), signed_in(lin)
    here.send(here.get("/profile"), "/sign-out/everywhere")

    assert there.get("/overview").location.startswith("/sign-in")
    assert live_sessions() == []


def test_a_session_outlives_its_first_token_by_its_renewal(browser):
    browser.client.delete_cookie("session_token")
    renewal = browser.cookie("renewal_token")

    assert browser.get("/overview").status == 200
    assert browser.cookie("session_token")
    assert browser.cookie("renewal_token") != renewal
    assert len(live_sessions()) == 1


def test_a_stolen_renewal_ends_the_session_for_both(browser, app):
    stolen = browser.cookie("renewal_token")
    for _ in range(2):
        browser.client.delete_cookie("session_token")
        browser.get("/overview")

    assert Reader(app, renewal_token=stolen).get("/overview").location.startswith("/sign-in")
    assert browser.get("/overview").location.startswith("/sign-in")


def test_who_has_a_second_factor_is_asked_for_it(app, reader, lin):
    vault = app.extensions["vault"]
    totp = pyotp.TOTP(factors.begin(lin.id, lin.username, vault)[0])
    factors.confirm(lin.id, totp.now(), vault)
    paper = factors.renew_recovery_codes(lin.id, vault)
    db.session.commit()

    answer = reader.sign_in("Lin Wei")
    assert answer.location == "/sign-in/code"
    assert reader.get("/overview").status == 303
    asked = reader.follow(answer)
    wrong = reader.send(asked, "/sign-in/code", code="000000")
    right = reader.send(wrong, "/sign-in/code", code=paper[0])

    assert (wrong.status, "This code is wrong" in wrong.text) == (401, True)
    assert right.location == "/overview"
    assert reader.cookie("challenge") is None
    assert reader.get("/overview").status == 200


def test_nobody_is_asked_for_a_code_without_a_password(reader):
    assert reader.get("/sign-in/code").location == "/sign-in"


def test_sign_up_is_closed_unless_it_is_opened(reader):
    assert reader.get("/sign-up").location == "/sign-in"
    assert "Sign-up is closed" in reader.get("/sign-in").text


def test_anybody_can_sign_up_where_that_is_open(reader, with_settings):
    with with_settings(registration="open"):
        page = reader.get("/sign-up")
        weak = reader.send(page, "/sign-up", username="nora", password="password")
        taken = reader.send(weak, "/sign-up", username="nora", password="a long enough sentence")
        again = Reader(reader.client.application)
        refused = again.send(again.get("/sign-up"), "/sign-up", username="NORA", password="a long enough sentence")

    assert weak.status == 422
    assert weak.form("/sign-up").fields["username"] == "nora"
    assert taken.location == "/overview"
    assert (refused.status, "is taken" in refused.text) == (409, True)


def test_an_invitation_lets_one_in_and_a_refusal_spends_none(reader, with_settings):
    code = invitations.invite(None, max_uses=1, expires_at=None, note=None)[1]
    db.session.commit()
    with with_settings(registration="invite"):
        page = reader.get("/sign-up")
        fields = {"username": "nora", "password": "a long enough sentence"}
        wrong = reader.send(page, "/sign-up", invitation_code="made up", **fields)
        weak = reader.send(page, "/sign-up", invitation_code=code, username="nora", password="nora")
        right = reader.send(page, "/sign-up", invitation_code=code, **fields)

    assert (wrong.status, weak.status, right.status) == (422, 422, 303)
    assert rows("invitations")[0]["uses"] == 1


@pytest.fixture
def linux_do(app):
    server = LinuxDo()
    with offering(app, server):
        yield server
    server.stop()


def test_a_provider_signs_in_by_its_button(reader, linux_do):
    entrance = reader.get("/sign-in", query_string={"next": "/keys"})
    (button,) = [link["href"] for link in entrance.all("a") if "/api/auth/oidc/" in str(link.get("href"))]

    away = reader.client.get(button, headers=PAGE)
    brought = linux_do.authorize(away.headers["Location"])
    landed = reader.client.get("/api/auth/oidc/linux_do/callback", query_string=brought, headers=PAGE)
    path = landed.headers["Location"].removeprefix("http://localhost:8008")
    home = reader.get(path)

    assert re.match(r"/sign-in/return\?sign_in_code=", path)
    assert home.location == "/keys"
    assert reader.get("/overview").status == 200
    assert reader.get(path).location.startswith("/sign-in?error=INVALID_OAUTH_STATE")


def test_a_code_from_another_browser_signs_nobody_in(app, reader, linux_do):
    button = "/api/auth/oidc/linux_do/login?next=/sign-in/return"
    brought = linux_do.authorize(reader.client.get(button, headers=PAGE).headers["Location"])
    landed = reader.client.get("/api/auth/oidc/linux_do/callback", query_string=brought, headers=PAGE)
    path = landed.headers["Location"].removeprefix("http://localhost:8008")

    assert Reader(app).get(path).location.startswith("/sign-in?error=INVALID_OAUTH_STATE")


def test_what_a_provider_refused_is_told_in_words(reader):
    landed = reader.get("/?sign_in_error=INVALID_OAUTH_STATE")
    page = reader.follow(reader.follow(landed))

    assert "That sign-in is over" in page.text
    assert "<script" not in reader.get("/sign-in?error=<script>x</script>").source.partition("<body")[2]
