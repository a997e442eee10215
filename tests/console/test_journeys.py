"""What people come for, from the first form to what it changed."""

from __future__ import annotations

import re

import pyotp
import pytest

from shared_accounts.accounts.models import Account
from shared_accounts.console import tools
from shared_accounts.extensions import db
from shared_accounts.keys import keyring
from shared_accounts.quotas import proof
from shared_accounts.users.models import User
from tests import factories
from tests.conftest import rows
from tests.console.reader import Reader

SECRET = "sk-upstream-0123456789abcdefghij"


@pytest.fixture
def form(upstream):
    """What a contributor fills in."""
    return {"preset": "custom", "name": "Garden", "base_url": upstream.url, "api_key": SECRET}


def try_out(browser, form):
    return browser.send(browser.get("/accounts/new"), "/accounts/new", **form)


def contribute(browser, form, **choice):
    answer = browser.send(try_out(browser, form), "/accounts", **choice)
    assert answer.status == 303, answer.text[-400:]
    return int(re.search(r"/accounts/(\d+)", answer.location)[1])


def pools():
    return {
        row["model_group"]: (row["balance"], row["capacity"], row["refill_per_hour"]) for row in rows("quota_pools")
    }


def test_a_key_is_shown_once_and_works(browser, app):
    made = browser.send(browser.get("/keys/new"), "/keys", name="laptop")
    (secret,) = set(re.findall(r"sk-[0-9A-Za-z]{64}", made.source))

    assert made.status == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert "laptop" in made.text
    assert keyring.fingerprint_of(secret) == bytes(rows("api_keys")[0]["fingerprint"])
    assert secret not in browser.get("/keys").source
    assert f"Authorization: Bearer {secret}" in made.text
    assert "http://localhost/v1/chat/completions" in made.text


def test_every_tool_gets_its_address_and_the_key(browser):
    page = browser.send(browser.get("/keys/new"), "/keys", name="laptop")

    for tool in tools.TOOLS:
        assert tool.name in page.text
    assert "%" not in "".join(text for text in page.words if "sk-" in text)


def test_a_name_that_is_too_long_is_told_at_its_field(browser):
    answer = browser.send(browser.get("/keys/new"), "/keys", name="n" * 101, description="kept")

    assert answer.status == 422
    assert answer.form("/keys").fields["description"] == "kept"
    assert [one["name"] for one in answer.all("input") if one.get("aria-invalid")] == ["name"]
    assert rows("api_keys") == []


def test_a_key_is_switched_off_and_on_and_revoked(browser):
    browser.send(browser.get("/keys/new"), "/keys", name="laptop")
    key_id = rows("api_keys")[0]["id"]

    for on in (0, 1):
        answer = browser.send(browser.get("/keys"), f"/keys/{key_id}/switch", on=on)
        assert rows("api_keys")[0]["is_active"] is bool(on)
        assert browser.follow(answer).status == 200
    asked = browser.get(f"/keys/{key_id}/revoke")
    assert "This cannot be undone" in asked.text
    gone = browser.follow(browser.send(asked, f"/keys/{key_id}/revoke"))

    assert "revoked for good" in gone.text
    assert rows("api_keys") == []


def test_the_silenced_may_look_and_do_nothing(signed_in):
    mute = signed_in(factories.user(username="mute", password=factories.PASSWORD, state="silenced"))

    assert mute.get("/accounts").status == 200
    assert mute.send(mute.get("/keys/new"), "/keys", name="x").status == 403
    assert rows("api_keys") == []


def test_an_account_is_tried_first_and_nothing_is_kept(browser, form):
    choice = try_out(browser, form)

    assert choice.status == 200
    assert "It works, and serves 3 models" in choice.text
    assert choice.form("/accounts").fields["models"] == ["m", "n", "org/o"]
    assert SECRET not in choice.source
    assert (rows("accounts"), rows("quota_pools")) == ([], [])
    assert SECRET.encode() not in b"".join(bytes(row["sealed"]) for row in rows("tickets"))


def test_what_sharing_would_do_is_what_it_does(browser, form):
    choice = try_out(browser, form)
    told = re.findall(r"(?:Balance|Capacity|Per hour) ([+]?[\d.]+) ?(\d\d) ([+]?[\d.]+) ?(\d\d)", choice.text)
    contribute(browser, form, sharing="shared")

    assert {"".join(one[2:]) for one in told} == {"2.0000", "+0.4000"}
    assert pools() == dict.fromkeys(["m", "n", "org/o"], (2_000_000, 2_000_000, 400_000))
    assert proof.verify() == []


def test_only_the_chosen_models_are_contributed(browser, form):
    account_id = contribute(browser, form, sharing="dedicated", models=["n"])

    assert db.session.get(Account, account_id).models == ["n"]
    assert pools() == {}


def test_a_refused_credential_is_told_at_its_field_and_never_repeated(browser, form):
    answer = try_out(browser, {**form, "api_key": "sk-wrong"})

    assert answer.status == 422
    assert answer.form("/accounts/new").fields["name"] == "Garden"
    assert "sk-wrong" not in answer.source
    assert [one for one in answer.all("input") if one.get("aria-invalid") and one["name"] == "api_key"]


def test_private_addresses_are_refused_at_their_field(browser, form):
    answer = try_out(browser, {**form, "base_url": "http://169.254.169.254/v1"})

    assert answer.status in {400, 422}
    assert [one for one in answer.all("input") if one.get("aria-invalid") and one["name"] == "base_url"]


def test_a_credential_counts_once(browser, form, signed_in):
    contribute(browser, form, sharing="shared")
    other = signed_in(factories.user(username="other", password=factories.PASSWORD))

    assert "contributed already" in try_out(other, form).text
    assert len(rows("accounts")) == 1


def test_a_choice_is_its_owners_and_made_once(browser, form, signed_in):
    choice = try_out(browser, form)
    other = signed_in(factories.user(username="other", password=factories.PASSWORD))
    stolen = {**choice.form("/accounts").fields, "csrf": other.get("/keys/new").form("/keys").fields["csrf"]}

    assert other.post("/accounts", stolen).status == 400
    assert browser.send(choice, "/accounts").status == 303
    assert browser.send(choice, "/accounts").status == 400
    assert len(rows("accounts")) == 1


def test_sharing_is_shown_before_and_done_after(browser, form):
    account_id = contribute(browser, form, sharing="dedicated", models=["m"])
    asked = browser.get(f"/accounts/{account_id}/sharing")

    assert "Share Garden?" in asked.text
    assert "2.00 00" in asked.text
    assert pools() == {}
    browser.send(asked, f"/accounts/{account_id}/sharing")
    assert pools() == {"m": (2_000_000, 2_000_000, 400_000)}
    browser.send(browser.get(f"/accounts/{account_id}/sharing"), f"/accounts/{account_id}/sharing")
    assert pools() == {"m": (0, 0, 0)}
    assert proof.verify() == []


def test_an_account_is_paused_and_brought_back(browser, form):
    account_id = contribute(browser, form, sharing="shared", models=["m"])
    for paused, state in (("1", "paused"), ("0", "active")):
        page = browser.get(f"/accounts/{account_id}")
        answer = browser.send(page, f"/accounts/{account_id}/pause", paused=paused)
        assert browser.follow(answer).status == 200
        assert rows("accounts")[0]["state"] == state

    history = browser.get(f"/accounts/{account_id}").text
    assert "paused by its owner" in history


def test_a_test_says_what_the_upstream_says(browser, form, upstream):
    account_id = contribute(browser, form, sharing="shared")
    page = browser.get(f"/accounts/{account_id}")
    assert "The upstream accepts the credential" in browser.send(page, f"/accounts/{account_id}/test").text

    upstream.status = 401
    refused = browser.send(page, f"/accounts/{account_id}/test")

    assert "The test failed" in refused.text
    assert "Needs sign-in" in refused.text
    assert rows("accounts")[0]["state"] == "needs_sign_in"


def test_terms_are_checked_field_by_field(browser, form):
    account_id = contribute(browser, form, sharing="shared")
    action = f"/accounts/{account_id}/terms"
    page = browser.get(f"/accounts/{account_id}")

    wrong = browser.send(page, action, owner_reserve="150", member_per_day="much", quiet_from="25:00", name="Kept")
    right = browser.send(
        page, action, owner_reserve="15", member_per_day="0.8", quiet_from="22:30", quiet_until="07:00"
    )

    assert wrong.status == 422
    assert {one["name"] for one in wrong.all("input") if one.get("aria-invalid")} == {
        "owner_reserve",
        "member_per_day",
        "quiet_from",
    }
    assert wrong.form(action).fields["name"] == "Kept"
    assert right.status == 303
    row = rows("accounts")[0]
    assert (row["owner_reserve"], row["member_per_day"], row["quiet_from"]) == (0.15, 800_000, 22 * 60 + 30)


def test_withdrawing_shows_what_goes_back_and_erases(browser, form):
    account_id = contribute(browser, form, sharing="shared", models=["m"])
    asked = browser.get(f"/accounts/{account_id}/withdraw")
    assert "Withdraw Garden?" in asked.text
    assert rows("accounts")[0]["state"] == "active"

    gone = browser.follow(browser.send(asked, f"/accounts/{account_id}/withdraw"))

    assert "its credential is erased" in gone.text
    assert rows("accounts")[0]["sealed_credential"] is None
    assert pools() == {"m": (0, 0, 0)}
    assert browser.get(f"/accounts/{account_id}").status == 404


def test_a_new_password_ends_the_other_sessions(browser, signed_in, lin):
    other = signed_in(lin)
    fields = {"current_password": factories.PASSWORD, "new_password": "another long sentence"}
    page = browser.get("/profile")

    wrong = browser.send(page, "/profile/password", **{**fields, "current_password": "wrong"})
    weak = browser.send(page, "/profile/password", **{**fields, "new_password": "password"})
    right = browser.send(page, "/profile/password", **fields)

    assert (wrong.status, weak.status, right.status) == (422, 422, 303)
    assert browser.get("/overview").status == 200
    assert other.get("/overview").status == 303
    assert Reader(browser.client.application).sign_in("Lin Wei", "another long sentence").status == 303


def test_one_session_is_ended_from_another(browser, signed_in, lin):
    other = signed_in(lin)
    page = browser.get("/profile")
    (end,) = [form for form in page.forms if form.action.endswith("/end")]
    browser.send(page, end.action)

    assert other.get("/overview").status == 303
    assert browser.get("/overview").status == 200


def test_which_accounts_go_first_is_remembered(browser, lin):
    browser.send(browser.get("/profile"), "/profile/preference", first="shared")

    assert db.session.get(User, lin.id, populate_existing=True).prefer_shared is True


def test_a_second_factor_is_set_up_and_removed(browser):
    begun = browser.send(browser.get("/profile/second-factor"), "/profile/second-factor")
    secret = re.search(r"\b[A-Z2-7]{32}\b", begun.text)[0]
    totp = pyotp.TOTP(secret)

    wrong = browser.send(begun, "/profile/second-factor/confirm", code="000000")
    right = browser.send(wrong, "/profile/second-factor/confirm", code=totp.now())
    paper = re.findall(r"\w{4}-\w{4}-\w{4}", right.text)
    assert (wrong.status, right.status, len(paper)) == (422, 200, 10)

    page = browser.get("/profile/second-factor")
    assert paper[0] not in page.source
    assert browser.send(page, "/profile/second-factor/remove", code="000000").status == 422
    assert browser.send(page, "/profile/second-factor/remove", code=paper[0]).status == 303
    assert rows("second_factors") == []


def test_what_changes_how_one_signs_in_takes_a_fresh_sign_in(browser, session):
    page = browser.get("/profile/second-factor")
    session.execute(db.text("update sessions set authenticated_at = now() - interval '1 day'"))
    session.commit()

    assert browser.send(page, "/profile/second-factor").location == "/sign-in?again=1"
    assert rows("second_factors") == []


def test_the_ledger_is_paged_and_told_apart(browser, lin):
    pool = factories.quota_pool(lin, balance=1_000_000)
    for number in range(60):
        db.session.execute(
            db.text(
                "insert into ledger_entries (pool_id, kind, amount, balance_after, note) values (:p, 'refill', 1, 1, :n)"
            ),
            {"p": pool.id, "n": f"line {number}"},
        )
    db.session.commit()

    first, second = browser.get("/quota?view=lines"), browser.get("/quota?view=lines&page=2")

    assert "Page 1 of 2" in first.text
    assert "line 59" in first.text
    assert "line 0" in second.text
    assert "line 0" not in browser.get("/quota?kind=correction").text
