"""What only a real browser tells: where the keyboard goes, what a script could read, and that forms do without any."""

from __future__ import annotations

import pytest

from shared_accounts.extensions import db
from tests import factories
from tests.console import world
from tests.console.browser import DESK, MAY_BE_LEFT_OUT, opened

pytestmark = pytest.mark.skipif(MAY_BE_LEFT_OUT, reason="no Chromium here: THE CONSOLE WAS NOT LOOKED AT IN A BROWSER")


def test_the_keyboard_opens_a_dialog_and_escape_closes_it(chromium, home):
    name = world.settled(username="Lin Wei").username
    db.session.commit()
    watched = opened(chromium, home, DESK, "dark", "en")
    page = watched.page
    watched.sign_in(name, factories.PASSWORD)
    watched.go("/keys")

    page.focus("main .head .btn-primary")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open] #name")
    assert page.evaluate("document.activeElement.id") == "name"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    assert page.evaluate("document.activeElement.classList.contains('btn-primary')")
    page.context.close()

    assert watched.complaints == []


def test_no_script_can_read_a_credential(chromium, home):
    name = factories.user(username="nora", password=factories.PASSWORD).username
    db.session.commit()
    watched = opened(chromium, home, DESK, "light", "en")
    watched.sign_in(name, factories.PASSWORD)
    readable = watched.page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    watched.page.context.close()

    assert readable == "zone=Asia/Shanghai{}{}"


def test_without_scripts_the_same_forms_do_the_same(chromium, home):
    name = factories.user(username="nora", password=factories.PASSWORD).username
    db.session.commit()
    watched = opened(chromium, home, DESK, "light", "en", java_script_enabled=False)
    page = watched.page
    watched.sign_in(name, factories.PASSWORD)
    watched.go("/keys")
    page.click("text=Create a key")
    page.fill("#name", "laptop")
    page.click("main .btn-primary")
    secret = page.text_content("#fresh")
    page.context.close()

    assert secret.startswith("sk-")
    assert watched.complaints == []
