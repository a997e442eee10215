"""One's own sign-in: providers linked and unlinked, the second factor's picture and codes, whose accounts serve."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pyotp
import pytest

from shared_accounts.auth.models import Identity
from shared_accounts.console import qr
from shared_accounts.extensions import db
from shared_accounts.users.models import User
from tests import factories
from tests.auth.flow import offering
from tests.auth.linux_do import LinuxDo
from tests.conftest import rows


@pytest.fixture
def linux_do(app):
    """A sign-in provider."""
    server = LinuxDo()
    with offering(app, server):
        yield server
    server.stop()


def enrolled(browser):
    """A second factor that is set up: its secret, and the page with the recovery codes."""
    begun = browser.send(browser.get("/profile/second-factor"), "/profile/second-factor")
    secret = re.search(r"\b[A-Z2-7]{32}\b", begun.text)[0]
    return secret, browser.send(begun, "/profile/second-factor/confirm", code=pyotp.TOTP(secret).now()), begun


def papers(page):
    return re.findall(r"\w{4}-\w{4}-\w{4}", page.text)


def test_a_provider_is_linked_by_a_form_that_leads_to_a_link(browser, linux_do, lin):
    page = browser.send(browser.get("/profile"), "/profile/identities/linux_do")
    (there,) = [str(link["href"]) for link in page.all("a") if str(link["href"]).startswith("http")]
    brought = linux_do.authorize(there)
    back = browser.get("/api/auth/oidc/linux_do/callback", query_string=brought)
    landed = urlsplit(back.location)
    told = browser.get(f"{landed.path}?{landed.query}")

    assert db.session.query(Identity.user_id).scalar() == lin.id
    assert "signs you in from now on" in told.text

    gone = browser.follow(browser.send(told, f"/profile/identities/{rows('identities')[0]['id']}/unlink"))
    assert "signs you in no more" in gone.text
    assert rows("identities") == []


def test_nobody_unlinks_her_only_way_in_or_somebody_elses(signed_in, lin):
    browser = signed_in(lin)
    mine = Identity(user_id=lin.id, provider="linux_do", subject="1")
    other = Identity(user_id=factories.user().id, provider="linux_do", subject="2")
    db.session.add_all([mine, other])
    db.session.execute(db.text("update users set password_hash = null"))
    db.session.commit()
    page = browser.get("/profile")

    told = browser.follow(browser.send(page, f"/profile/identities/{mine.id}/unlink"))
    token = page.form(f"/profile/identities/{mine.id}/unlink").fields["csrf"]

    assert "This is your only way to sign in" in told.text
    assert browser.post(f"/profile/identities/{other.id}/unlink", {"csrf": token}).status == 404
    assert len(rows("identities")) == 2


def test_a_link_that_failed_is_told(browser):
    assert "It was not linked" in browser.get("/profile?sign_in_error=OAUTH_ERROR").text
    assert "evil" not in browser.get("/profile?identity_linked=evil&sign_in_error=evil").text


def test_the_picture_is_that_of_the_address_and_carries_no_style(browser):
    _, _, begun = enrolled(browser)
    uri = next(str(link["href"]) for link in begun.all("a") if str(link["href"]).startswith("otpauth://"))
    (drawn,) = [one for one in begun.all("svg") if one.get("class") == "qr"]

    assert drawn["role"] == "img"
    assert drawn["aria-label"]
    assert str(qr.picture(uri, str(drawn["aria-label"]))) in begun.source


def test_a_picture_is_read_row_by_row():
    rects = re.findall(r"M(\d+) (\d+)h(\d+)v1", str(qr.picture("otpauth://totp/x?secret=ABC", "")))
    dark = {(int(x) + step, int(y)) for x, y, width in rects for step in range(int(width))}
    finder = {(x, y) for x in range(4, 11) for y in range(4, 11)}
    ring = {(x, y) for x in range(5, 10) for y in range(5, 10)} - {(x, y) for x in range(6, 9) for y in range(6, 9)}

    assert finder & dark == finder - ring


def test_recovery_codes_are_replaced_after_a_code(browser):
    _, confirmed, _ = enrolled(browser)
    old = papers(confirmed)
    page = browser.get("/profile/second-factor")
    assert "10 left" in page.text

    wrong = browser.send(page, "/profile/second-factor/codes", code="000000")
    right = browser.send(page, "/profile/second-factor/codes", code=old[0])

    assert (wrong.status, right.status) == (422, 200)
    assert len(set(papers(right)) - set(old)) == 10
    assert browser.send(page, "/profile/second-factor/codes", code=old[1]).status == 422
    assert [row["act"] for row in rows("audit_log")].count("second_factor.codes_renewed") == 1


@pytest.mark.parametrize(
    ("first", "prefers", "only"), [("shared", True, False), ("only", False, True), ("own", False, False)]
)
def test_whose_accounts_serve_is_remembered(browser, lin, first, prefers, only):
    browser.send(browser.get("/profile"), "/profile/preference", first=first)
    user = db.session.get(User, lin.id, populate_existing=True)

    assert (user.prefer_shared, user.use_only_dedicated) == (prefers, only)
    assert browser.get("/profile").form("/profile/preference").fields["first"] == first


def test_a_device_is_named_in_the_readers_language(signed_in, lin, session):
    browser = signed_in(lin, lang="zh")
    for agent in ("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", ""):
        session.execute(db.text("update sessions set user_agent = :agent"), {"agent": agent})
        session.commit()
        assert {"": "未知设备"}.get(agent, "Linux 上的 Firefox") in browser.get("/profile").text
