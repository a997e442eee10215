"""What a talk is asked for besides its words, in a real browser."""

from __future__ import annotations

import pytest

from shared_accounts.config import MICRO
from tests import factories
from tests.console.browser import DESK, MAY_BE_LEFT_OUT, opened

pytestmark = pytest.mark.skipif(MAY_BE_LEFT_OUT, reason="no Chromium here: THE CONSOLE WAS NOT LOOKED AT IN A BROWSER")


def test_they_are_optional_stay_in_the_page_and_must_make_sense(chromium, home, model_server):
    user = factories.user(username="nora", password=factories.PASSWORD)
    factories.account(factories.user(), base_url=model_server.url, models=["m"])
    factories.quota_pool(user, balance=2 * MICRO)
    watched = opened(chromium, home, DESK, "light", "en")
    page = watched.page
    watched.sign_in("nora", factories.PASSWORD)
    watched.go("/playground")

    def ask(text):
        answers_so_far = page.locator(".after").count()
        page.fill("#say", text)
        page.keyboard.press("Enter")
        page.locator(".after").nth(answers_so_far).wait_for()
        return model_server.requests[-1].json

    bare = ask("Hello")
    page.focus(".wishes summary")
    page.keyboard.press("Enter")
    page.fill("#system", "Be <b>brief</b>.")
    page.fill("#temperature", "0.4")
    told = ask("And now?")
    page.fill("#temperature", "7")
    page.keyboard.press("Escape")
    page.click(".wishes summary")
    page.fill("#say", "Too warm")
    page.keyboard.press("Enter")
    page.wait_for_selector(".wishes[open] #temperature:focus")
    page.fill("#temperature", "")
    page.fill("#system", "")
    again = ask("Without")
    watched.go("/playground")
    left = page.input_value("#system"), page.input_value("#temperature")
    stored = page.evaluate("localStorage.length + sessionStorage.length")
    page.context.close()

    assert "temperature" not in bare
    assert [one["role"] for one in bare["messages"]] == ["user"]
    assert (told["temperature"], told["messages"][0]) == (0.4, {"role": "system", "content": "Be <b>brief</b>."})
    assert [one["role"] for one in told["messages"]] == ["system", "user", "assistant", "user"]
    assert "temperature" not in again
    assert "system" not in [one["role"] for one in again["messages"]]
    assert len(model_server.requests) == 3
    assert (left, stored) == (("", ""), 0)
    assert watched.complaints == []
