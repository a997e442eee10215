"""The pages in a real browser: every screen in both lights, sizes and languages, and the way from nothing to a key."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from shared_accounts.extensions import db
from tests import factories
from tests.console import crowd, places, world
from tests.console.browser import DESK, MAY_BE_LEFT_OUT, PHONE, opened

pytestmark = pytest.mark.skipif(MAY_BE_LEFT_OUT, reason="no Chromium here: THE CONSOLE WAS NOT LOOKED AT IN A BROWSER")

LOOKS = [(DESK, "light", "en"), (PHONE, "dark", "zh"), (DESK, "dark", "zh"), (PHONE, "light", "en")]
AXED = LOOKS[:2]
"""In these axe looks, too: it takes most of the time, and judges each size, light and language for itself."""
SERIOUS = {"serious", "critical"}
ASKED = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
"""Only what is wrong: the rest would be written out node by node, which takes longer than to find it."""


@pytest.fixture
def looked_at(committed):
    """The name of an admin in a world where there is something on every screen, and the screens' addresses."""
    lin = world.settled(username="Lin Wei", role="admin")
    crowd.gathered(lin)
    found = lin.username, places.every()
    db.session.commit()
    return found


@pytest.mark.timeout(900)  # dozens of screens, and machines may be busy
@pytest.mark.parametrize(
    ("size", "light", "lang"), LOOKS, ids=lambda part: part if isinstance(part, str) else part["width"]
)
def test_no_screen_complains_scrolls_sideways_or_shuts_anybody_out(chromium, home, looked_at, size, light, lang):
    name, every = looked_at
    # The policy is lifted for this look only, for axe comes as a script of its own.
    watched = opened(chromium, home, size, light, lang, bypass_csp=True)
    watched.go("/sign-in")
    found = {"sign-in": serious(watched)}
    watched.sign_in(name, factories.PASSWORD)
    for screen, path in every.items():
        watched.go(path)
        assert not watched.scrolls_sideways(), path
        found[screen] = serious(watched) if (size, light, lang) in AXED else []
    watched.page.context.close()

    assert {screen: issues for screen, issues in found.items() if issues} == {}
    assert watched.complaints == []


def test_the_policy_lets_every_screen_work(chromium, home, looked_at):
    name, every = looked_at
    watched = opened(chromium, home, DESK, "light", "en")
    watched.sign_in(name, factories.PASSWORD)
    for path in every.values():
        watched.go(path)
    watched.page.context.close()

    assert watched.complaints == []


def serious(watched):
    results = Axe().run(watched.page, options=ASKED).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in results if one["impact"] in SERIOUS]


def test_somebody_new_gets_from_the_entrance_to_a_key(chromium, home, upstream):
    name = factories.user(username="nora", password=factories.PASSWORD).username
    db.session.commit()
    watched = opened(chromium, home, PHONE, "light", "en")
    page = watched.page

    watched.sign_in(name, factories.PASSWORD)
    page.click("main a[href='/accounts/new']")
    page.wait_for_selector("dialog[open]")
    page.select_option("dialog #preset", "custom")
    page.fill("dialog #base_url", upstream.url)
    page.fill("dialog #api_key", "sk-upstream-0123456789abcdefghij")
    page.fill("dialog #name", "Garden")
    page.click("dialog .btn-primary")
    page.check("input[name=sharing][value=shared]")
    page.click("text=Add the account")
    page.wait_for_url("**/accounts/*said=contributed")
    page.click(".tabs a[href='/keys']")
    page.click("main a[href='/keys/new']")
    page.fill("dialog #name", "laptop")
    page.click("dialog .btn-primary")
    secret = page.text_content("#fresh")
    page.click("label:has-text('aider')")
    told = page.text_content(".snippet:visible")
    page.context.close()

    assert secret.startswith("sk-")
    assert f"OPENAI_API_KEY={secret}" in told
    assert f"OPENAI_API_BASE={home}/v1" in told
    assert watched.complaints == []


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
