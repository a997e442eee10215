"""/api/admin/accounts: everybody's accounts, disabled with a reason, and what one may be worth."""

from __future__ import annotations

import pytest

from shared_accounts.quotas import proof
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import contributed

PATH = "/api/admin/accounts"


def test_accounts_are_listed_with_their_owners_and_without_credentials(admin, session):
    nora = factories.user(username="Nora")
    factories.account(nora, name="Garden")
    factories.account(nora, name="Gone", state="withdrawn")

    answer = admin.get(PATH, query_string={"owner": "nor"})

    assert [(one["name"], one["owner"], one["max_worth"]) for one in answer.json] == [("Garden", "Nora", None)]
    assert not {"sealed_credential", "fingerprint", "api_key"} & set(answer.json[0])
    assert admin.get(PATH, query_string={"state": "gone"}).status_code == 422


def test_an_admin_disables_and_enables_whatever_the_state(admin, acts, session):
    owner = factories.user()
    account = contributed(owner)

    off = admin.post(f"{PATH}/{account.id}/disable", json={"reason": "reported"})
    again = admin.post(f"{PATH}/{account.id}/disable", json={"reason": "reported twice"})
    on = admin.post(f"{PATH}/{account.id}/enable")

    assert (off.json["state"], off.json["state_reason"]) == ("disabled", "reported")
    assert again.json["state_reason"] == "reported"
    assert on.json["state"] == "active"
    assert admin.post(f"{PATH}/{account.id}/enable").status_code == 409
    assert [row["act"] for row in acts()][-2:] == ["account.disabled", "account.enabled"]
    assert proof.verify() == []


def test_what_an_account_may_be_worth_is_raised_for_it_alone(admin, acts, session):
    owner, other = factories.user(), factories.user()
    account = contributed(owner, allowance_tokens=3_000_000)
    contributed(other, "sk-of-other", allowance_tokens=3_000_000)

    answer = admin.put(f"{PATH}/{account.id}/worth", json={"max_worth": "3"})

    assert answer.json["max_worth"] == "3.0000"
    capacities = {row["user_id"]: row["capacity"] for row in rows("quota_pools")}
    assert capacities == {owner.id: 6_000_000, other.id: 2_000_000}
    assert acts()[-1]["details"] == {"max_worth": "3.0000"}
    assert admin.put(f"{PATH}/{account.id}/worth", json={"max_worth": None}).json["max_worth"] is None
    assert proof.verify() == []


@pytest.mark.parametrize("worth", ["0", "-1", "much", True])
def test_a_worth_that_cannot_be_is_refused(admin, session, worth):
    account = factories.account(factories.user())

    assert admin.put(f"{PATH}/{account.id}/worth", json={"max_worth": worth}).status_code == 422


def test_a_withdrawn_account_is_beyond_reach(admin, session):
    account = factories.account(factories.user(), state="withdrawn")

    assert admin.get(f"{PATH}/{account.id}").status_code == 200
    assert admin.post(f"{PATH}/{account.id}/disable", json={"reason": "x"}).status_code == 404
    assert admin.put(f"{PATH}/{account.id}/worth", json={"max_worth": "2"}).status_code == 404
