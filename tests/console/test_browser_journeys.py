"""What several people do at once, by clicks and keys: each in a browser of her own, against a real server."""

from __future__ import annotations

import threading

import pytest
import requests

from shared_accounts import tasks
from shared_accounts.accounts.models import Account
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.users.models import User
from tests import factories
from tests.auth.flow import offering
from tests.auth.linux_do import LinuxDo
from tests.console.browser import DESK, MAY_BE_LEFT_OUT, PHONE, opened
from tests.gateway.scene import wait_until
from tests.upstream import chunk, event

pytestmark = pytest.mark.skipif(MAY_BE_LEFT_OUT, reason="no Chromium here: THE CONSOLE WAS NOT LOOKED AT IN A BROWSER")


@pytest.fixture
def enters(chromium, home):
    """Give somebody a browser of her own, signed in."""
    made = []

    def enter(username, size=DESK, light="light"):
        watched = opened(chromium, home, size, light, "en")
        made.append(watched)
        watched.sign_in(username, factories.PASSWORD)
        return watched

    yield enter
    for watched in made:
        watched.page.context.close()


def state_of(account_id):
    db.session.rollback()
    return db.session.get(Account, account_id, populate_existing=True).state


def test_somebody_signs_in_by_way_of_a_provider(app, chromium, home, with_settings):
    linux_do = LinuxDo()
    callback = f"{home}/api/auth/oidc/linux_do/callback"
    watched = opened(chromium, home, PHONE, "dark", "en")
    try:
        with offering(app, linux_do, redirect_uri=callback), with_settings(public_url=home):
            watched.go("/keys")
            watched.page.click("text=Continue with Linux.do")
            watched.page.wait_for_url(f"{home}/keys")
            watched.page.click("text=Create a key")
            watched.page.wait_for_selector("dialog[open] #name")
        strangers = [one for one in watched.complaints if linux_do.origin not in one]
    finally:
        watched.page.context.close()
        linux_do.stop()

    assert db.session.query(User).one().username == "Bee"
    assert strangers == []


def test_a_session_that_is_ended_elsewhere_is_over_on_its_next_click(enters):
    factories.user(username="nora", password=factories.PASSWORD)
    there, here = enters("nora", PHONE), enters("nora")

    here.go("/profile")
    here.page.focus("text=End >> nth=0")
    here.page.click(".sessions form .btn")
    here.page.wait_for_selector("text=The session has ended.")
    there.page.click(".tabs a[href='/keys']")
    there.page.wait_for_url("**/sign-in?next=**")
    here.page.click("nav a[href='/keys']")
    here.page.wait_for_url("**/keys")

    assert there.complaints == here.complaints == []


def test_an_account_is_withdrawn_while_a_stream_is_running_on_it(enters, home, model_server, app):
    goes_on = threading.Event()

    def held(turn):
        turn.begin(200, [("content-type", "text/event-stream")], length=None, chunked=True)
        turn.write(event(chunk({"content": "begun "})))
        goes_on.wait(60)
        turn.write(event(chunk({"content": "and finished"}, "stop")) + b"data: [DONE]\n\n")
        turn.end()
        return True

    model_server.plays(held)
    lin = factories.user(username="Lin Wei", password=factories.PASSWORD)
    account_id = factories.account(lin, name="Garden", base_url=model_server.url, models=["m"]).id
    nora = factories.user(username="nora")
    factories.quota_pool(nora, balance=2 * MICRO)
    _, secret = factories.api_key(nora)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    bearer = {"Authorization": f"Bearer {secret}"}

    with requests.post(f"{home}/v1/chat/completions", json=body, headers=bearer, stream=True, timeout=60) as answer:
        lines = answer.iter_lines()
        assert any(b"begun" in line for line in lines)
        hers = enters("Lin Wei")
        hers.go(f"/accounts/{account_id}")
        hers.page.click("text=Withdraw")
        hers.page.wait_for_selector("dialog[open] >> text=It may finish")
        hers.page.click("dialog .btn-danger")
        hers.page.wait_for_url("**/accounts?said=draining")
        hers.go(f"/accounts/{account_id}")
        assert "It is being withdrawn" in hers.page.text_content("main")
        goes_on.set()
        rest = b"".join(lines)

    assert b"and finished" in rest
    assert rest.endswith(b"[DONE]")
    wait_until(lambda: not open_lines(), "the exchange was not closed")
    tasks.finish_draining()
    assert state_of(account_id) == "withdrawn"
    hers.go("/accounts")
    assert "Garden" not in hers.page.text_content("main")
    assert hers.complaints == []


def open_lines():
    db.session.rollback()
    return db.session.execute(db.text("select count(*) from usage_log where state = 'open'")).scalar()


def test_an_admin_silences_somebody_by_keys_and_takes_it_back(enters, home, model_server):
    factories.admin(username="boss", password=factories.PASSWORD)
    nora = factories.user(username="nora")
    factories.account(nora, base_url=model_server.url, models=["m"], sharing="dedicated")
    _, secret = factories.api_key(nora)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}

    def chat():
        bearer = {"Authorization": f"Bearer {secret}"}
        return requests.post(f"{home}/v1/chat/completions", json=body, headers=bearer, timeout=60).status_code

    assert chat() == 200
    admin = enters("boss", light="dark")
    page = admin.page
    page.click("text=Users")
    page.focus("summary[aria-label='Actions for nora']")
    page.keyboard.press("Enter")
    page.wait_for_selector("details[open] >> text=Silence")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=nora is silenced: reading works, chatting does not.")
    assert chat() == 403

    page.focus("text=Undo")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=nora may act again.")

    assert chat() == 200
    assert admin.complaints == []


def test_the_menu_of_a_row_closes_by_escape_and_the_drawer_leads_to_the_group(enters):
    factories.admin(username="boss", password=factories.PASSWORD)
    desk, phone = enters("boss"), enters("boss", PHONE)

    desk.go("/admin/users")
    desk.page.click("summary[aria-label='Actions for boss']")
    desk.page.keyboard.press("Escape")
    desk.page.wait_for_selector(".do-cell details:not([open])")
    phone.page.click("button[popovertarget=drawer] >> nth=0")
    phone.page.click("#drawer a[href='/admin/status']")
    phone.page.wait_for_url("**/admin/status")

    assert desk.complaints == phone.complaints == []
