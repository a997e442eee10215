"""Withdrawing an account on its page: what runs on it may finish, or is cut off."""

from __future__ import annotations

import pytest

from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows
from tests.console import world
from tests.quotas.sharing import shared_account


@pytest.fixture
def account(lin):
    return shared_account(lin)


@pytest.fixture
def running(account):
    """An exchange of somebody else's that is under way on it."""
    marta = factories.user(username="Marta", password=factories.PASSWORD)
    still = {"state": "open", "outcome": None, "basis": None, "closed_at": None}
    return world.exchange(marta, account, "m", cost=0, charged=0, http_status=None, attempts=[], **still)


def choices(page):
    return {one["value"]: "checked" in one for one in page.all("input") if one.get("name") == "running"}


def account_now():
    (row,) = rows("accounts")
    return row["state"], row["cut_off"]


def reasons():
    return [event["reason"] for event in rows("account_events")]


def test_what_runs_on_it_may_finish_unless_its_owner_says_otherwise(browser, account, running):
    path = f"/accounts/{account.id}/withdraw"
    asked = browser.get(path)

    assert choices(asked) == {"finish": True, "cut_off": False}
    assert "1 exchange is under way on it" in asked.text
    assert "Your quota changes when the last exchange on it has ended" in asked.text
    gone = browser.follow(browser.send(asked, path))

    assert account_now() == ("draining", False)
    assert "it leaves when what runs on it has ended" in gone.text


def test_it_may_be_cut_off_at_once(browser, account, running):
    path = f"/accounts/{account.id}/withdraw"
    gone = browser.follow(browser.send(browser.get(path), path, running="cut_off"))

    assert account_now() == ("draining", True)
    assert "What runs on the account is being cut off" in gone.text
    page = browser.get(f"/accounts/{account.id}")
    assert "What runs on it is being cut off; then it leaves by itself" in page.text
    assert path not in page.source


def test_while_it_drains_one_may_change_ones_mind(browser, account, running):
    path = f"/accounts/{account.id}/withdraw"
    browser.send(browser.get(path), path)
    assert path in browser.get(f"/accounts/{account.id}").source
    asked = browser.get(path)

    assert f"Cut off what runs on {account.name}?" in asked.text
    browser.send(asked, path)

    assert account_now() == ("draining", True)
    assert reasons() == ["withdrawn by its owner", "what ran on it was cut off by its owner"]
    browser.send(asked, path)
    assert len(reasons()) == 2


def test_an_idle_account_leaves_at_once_whatever_is_chosen(browser, account):
    path = f"/accounts/{account.id}/withdraw"
    asked = browser.get(path)
    gone = browser.follow(browser.send(asked, path, running="cut_off"))

    assert account_now()[0] == "withdrawn"
    assert "its credential is erased" in gone.text


def test_whoever_was_cut_off_reads_why(browser, signed_in, account, running):
    ended = "update usage_log set state = 'closed', outcome = 'interrupted', basis = 'partial', closed_at = now(), "
    db.session.execute(db.text(ended + "error_code = 'account_withdrawn', charged = 12300"))
    db.session.commit()

    page = signed_in(db.session.get(factories.User, rows("usage_log")[0]["user_id"])).get(f"/usage/{running}")

    assert "withdrew it and cut off what ran on it; that took 0.0123 units" in page.text


def test_the_api_takes_either_and_nothing_else(sign_in, lin, account, running):
    path, member = f"/api/accounts/{account.id}", sign_in(lin)

    assert member.delete(f"{path}?running=now").status_code == 422
    assert account_now() == ("active", False)
    assert member.delete(f"{path}?running=finish").status_code == 204
    assert account_now() == ("draining", False)
    assert member.delete(f"{path}?running=cut_off").status_code == 204
    assert account_now() == ("draining", True)
    assert [row["details"].get("cut_off") for row in rows("audit_log") if row["act"] == "account.withdrawn"] == [
        False,
        True,
    ]
