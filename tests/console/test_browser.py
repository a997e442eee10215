"""What only a real browser tells: where the keyboard goes, what a script could read, and that forms do without any."""

from __future__ import annotations

import pytest

from shared_accounts.extensions import db
from tests import factories
from tests.console import looks, world
from tests.console.browser import DESK, MAY_BE_LEFT_OUT, PHONE, opened

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


OVER = {
    "the drawer": (PHONE, ".bar .btn-icon", "#drawer", True),
    "the filters of a phone": (PHONE, ".fold > summary", ".fold .filters", False),
    "a row's menu on a phone": (PHONE, ".do-cell summary", ".do-cell .menu-list", False),
    "a dialog on a phone": (PHONE, ".head .btn-primary", "#dialog", True),
    "one's own menu": (DESK, ".side .person", ".side .menu-list", False),
    "a row's menu": (DESK, ".do-cell summary", ".do-cell .menu-list", False),
    "a dialog": (DESK, ".head .btn-primary", "#dialog", True),
}
"""What opens over a page: how wide that is, by what, what it is, and whether the keyboard stays in it."""

_AXE = """async ([over, tags]) => {
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  return (await axe.run({ include: [over] }, { resultTypes: ['violations'], runOnly: tags }))
    .violations.map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`);
}"""
_WITHIN = "(over) => document.querySelector(over).contains(document.activeElement)"
_IS_AT = "(opener) => document.activeElement === document.querySelector(opener)"


@pytest.fixture
def users(chromium, home):
    """The page on which the most opens, in a browser that brings axe along."""
    name = world.settled(username="Lin Wei", role="admin").username
    db.session.commit()
    watched = looks.looked_at(chromium, home, "en", name)
    watched.go("/admin/users")
    yield watched
    watched.page.context.close()


def test_what_opens_by_keyboard_shuts_nobody_out_keeps_the_keyboard_and_gives_it_back(users):
    wrong = []
    for what, (size, opener, over, keeps) in OVER.items():
        users.turn(size, "light")
        wrong += [(what, issue) for issue in opened_and_closed(users, opener, over, keeps=keeps)]

    assert wrong == []
    assert users.complaints == []


def opened_and_closed(watched, opener, over, *, keeps):
    page = watched.page
    page.locator(opener).first.press("Enter")
    page.locator(over).first.wait_for()
    if keeps:
        page.wait_for_function(_WITHIN, arg=over)  # until then what lies behind still counts, and crowds its buttons
    for light in ("light", "dark"):
        watched.turn(watched.turned[0], light)
        yield from page.evaluate(_AXE, [over, looks.TAGS])
    if keeps:
        for _ in range(3):  # backwards from its first stop: to the browser's own, and to its last
            page.keyboard.press("Shift+Tab")
            if not page.evaluate(_WITHIN, over) and not page.evaluate("document.activeElement === document.body"):
                yield "the keyboard gets behind it"
    page.keyboard.press("Enter" if "fold" in opener else "Escape")
    page.locator(over).first.wait_for(state="hidden")
    page.wait_for_function(_IS_AT, arg=opener)  # the focus comes back


def test_menus_close_one_by_one_and_when_they_are_left_and_filters_say_what_is_on(users):
    page, row = users.page, users.page.locator(".do-cell .menu-list").first
    users.turn(DESK, "light")
    assert (page.is_visible(".fold > summary"), page.is_visible("#filter-search")) == (False, True)
    page.locator(".do-cell summary").first.press("Enter")
    row.wait_for()
    page.keyboard.press("Shift+Tab")
    row.wait_for(state="hidden")

    users.go("/admin/users?state=active&role=admin")
    users.turn(PHONE, "light")
    assert page.inner_text(".fold > summary") == "2 filters are on"
    assert not page.is_visible("#filter-search")

    page.press(".bar .btn-icon", "Enter")
    page.wait_for_function(_WITHIN, arg="#drawer")
    page.press(".drawer .person", "Enter")
    page.locator(".drawer .menu-list").wait_for()
    issues = page.evaluate(_AXE, [".drawer", looks.TAGS])
    page.keyboard.press("Escape")
    page.locator(".drawer .menu-list").wait_for(state="hidden")
    assert page.is_visible("#drawer")
    page.keyboard.press("Escape")
    page.locator("#drawer").wait_for(state="hidden")
    assert issues == []
    assert page.evaluate(_IS_AT, ".bar .btn-icon")
