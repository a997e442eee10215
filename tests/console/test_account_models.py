"""Which models an account serves, changed on its page."""

from __future__ import annotations

import pytest

from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from tests import factories
from tests.conftest import rows

CANARY = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def account(lin, upstream):
    """An account of the reader's at an upstream that lists `m`, `n` and `org/o`."""
    return factories.account(lin, base_url=upstream.url, models=["m"], sharing="dedicated")


def path_of(account):
    return f"/accounts/{account.id}/models"


def send(browser, account, **fields):
    path = path_of(account)
    return browser.post(path, {"csrf": browser.get(path).form(path).fields["csrf"], **fields})


def boxes(page):
    return {one["value"]: "checked" in one for one in page.all("input") if one.get("type") == "checkbox"}


def kept():
    (row,) = rows("accounts")
    return row["models"], row["models_off"]


def error_of(page):
    (area,) = page.all("textarea")
    assert area["aria-invalid"] == "true"
    assert area["aria-describedby"] == "more-hint"
    return page.text


def test_a_model_that_is_switched_off_can_be_switched_on_again(browser, account, upstream):
    more = send(browser, account, models=["m"], more="n\n org/o , m")
    assert more.location == f"/accounts/{account.id}?said=models"
    assert kept() == (["m", "n", "org/o"], [])

    send(browser, account, models=["n"])

    assert kept() == (["n"], ["m", "org/o"])
    assert boxes(browser.get(path_of(account))) == {"n": True, "m": False, "org/o": False}
    assert "Switched off:" in browser.get(f"/accounts/{account.id}").text
    send(browser, account, models=["m", "n"])
    assert kept() == (["n", "m"], ["org/o"])
    changed = [row["details"]["fields"] for row in rows("audit_log") if row["act"] == "account.changed"]
    assert changed == [["models"]] * 3


def test_a_name_the_upstream_does_not_know_is_refused_beside_the_field(browser, account):
    wrong = send(browser, account, models=["m"], more="unheard-of")

    assert wrong.status == 422
    assert "The upstream does not list every one of these models." in error_of(wrong)
    assert "unheard-of" in wrong.source  # what was typed is kept
    assert kept() == (["m"], [])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Choose at least one model."),
        ({"more": "x" * 201}, "Shorten this: at most 200 characters fit."),
        ({"more": "\n".join(f"m{number}" for number in range(501))}, "Name 1 to 500."),
    ],
)
def test_what_cannot_be_is_said_beside_the_field(browser, account, fields, words):
    wrong = send(browser, account, **fields)

    assert wrong.status == 422
    assert words in error_of(wrong)
    assert kept() == (["m"], [])


def test_names_are_shown_and_never_run(browser, account):
    wrong = send(browser, account, models=["m"], more=CANARY)

    assert wrong.status == 422
    assert "<img" not in wrong.source


def test_the_upstreams_list_is_offered_and_nothing_changed(browser, account):
    listed = send(browser, account, models=["m"], more="typed", ask="1")

    assert boxes(listed) == {"m": True, "typed": True, "n": False, "org/o": False}
    assert kept() == (["m"], [])


def test_an_upstream_without_a_list_says_so_and_keeps_what_was_typed(browser, account, upstream):
    upstream.lists_models = False
    listed = send(browser, account, models=["m"], more="n", ask="1")

    assert "It keeps no list of models; name them here." in error_of(listed)
    assert "n" in next(iter(listed.all("textarea")), {}) or ">n<" in listed.source


def test_of_a_shared_account_the_effect_is_shown_first(browser, account):
    db.session.execute(db.text("update accounts set sharing = 'shared'"))
    db.session.commit()
    path = path_of(account)
    asked = send(browser, account, models=["m"], more="n")

    assert asked.status == 200
    assert "Nothing is saved yet" in asked.text
    assert "2.00 00" in asked.text
    assert (kept(), rows("quota_pools")) == ((["m"], []), [])
    done = browser.post(path, {**asked.form(path).fields, "models": ["m", "n"], "seen": "1"})

    assert done.status == 303
    assert kept() == (["m", "n"], [])
    assert {row["model_group"]: row["capacity"] for row in rows("quota_pools")} == {"m": 2 * MICRO, "n": 2 * MICRO}
    assert proof.verify() == []


def test_a_withdrawn_or_foreign_account_has_no_such_page(browser, account):
    foreign = factories.account(factories.user())
    token = browser.get(path_of(account)).form(path_of(account)).fields["csrf"]
    assert browser.get(path_of(foreign)).status == 404
    assert browser.post(path_of(foreign), {"csrf": token, "models": ["m"]}).status == 404
    db.session.execute(db.text("update accounts set state = 'draining'"))
    db.session.commit()

    assert browser.get(path_of(account)).status == 409
    assert browser.post(path_of(account), {"csrf": token, "models": ["m"]}).status == 409
    assert path_of(account) not in browser.get(f"/accounts/{account.id}").source


def test_the_api_tells_and_takes_what_is_switched_off(sign_in, lin, account):
    path, member = f"/api/accounts/{account.id}", sign_in(lin)

    changed = member.patch(path, json={"models": ["n"], "models_off": ["m", "n"]})

    assert (changed.json["models"], changed.json["models_off"]) == (["n"], ["m"])
    assert member.patch(path, json={"models": ["m", "n"]}).json["models_off"] == []
    assert member.patch(path, json={"models_off": [""]}).status_code == 422
