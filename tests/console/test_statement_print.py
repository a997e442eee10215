"""A month's statement in the browser: to be printed, and as CSV."""

from __future__ import annotations

import pytest

from shared_accounts.config import MICRO
from tests import factories
from tests.factories import PASSWORD
from tests.usage.scene import NOW

THIS_MONTH = NOW.strftime("%Y-%m")


def test_the_browser_gets_a_page_to_print_in_its_language(signed_in, session):
    user = factories.user(username="lin", password=PASSWORD)
    factories.quota_pool(user, balance=3 * MICRO)
    browser = signed_in(user)

    page = browser.get(f"/statements/{THIS_MONTH}/print")

    assert page.status == 200
    assert "3.000000" in page.text
    assert [link["href"].rpartition("/")[2] for link in page.all("link")] == ["print.css", "mark.svg"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "对账单" in browser.get(f"/statements/{THIS_MONTH}/print", headers={"Accept-Language": "zh-CN"}).text
    assert "3.000000" in browser.get(f"/statements/{THIS_MONTH}/csv").source


@pytest.mark.parametrize("month", ["2026-13", "2026", "now", "2026-01-01"])
def test_what_is_no_month_is_not_there(signed_in, session, month):
    assert signed_in(factories.user(password=PASSWORD)).get(f"/statements/{month}/print").status == 404


def test_strangers_are_sent_to_sign_in(reader):
    assert "3.000000" not in reader.get(f"/statements/{THIS_MONTH}/print").text
