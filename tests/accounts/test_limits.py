"""What an owner keeps of what she shares, as she states it."""

from __future__ import annotations

import pytest

from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows


@pytest.fixture
def owned(sign_in, client):
    owner = factories.user()
    return sign_in(owner), factories.account(owner).id


def change(owned, **body):
    browser, account_id = owned
    return browser.patch(f"/api/accounts/{account_id}", json=body)


def test_limits_are_stated_in_units_and_shown_as_they_were_stated(owned):
    answer = change(
        owned, others_per_day="2.5", member_per_day=1, owner_reserve=0.25, quiet_from="22:30", quiet_until="07:00"
    )

    assert answer.status_code == 200, answer.text
    shown = {name: answer.json[name] for name in ("others_per_day", "member_per_day", "owner_reserve")}
    assert shown == {"others_per_day": "2.5000", "member_per_day": "1.0000", "owner_reserve": 0.25}
    assert (answer.json["quiet_from"], answer.json["quiet_until"]) == ("22:30", "07:00")
    db.session.expire_all()
    (row,) = rows("accounts")
    assert (row["others_per_day"], row["member_per_day"], row["quiet_from"], row["quiet_until"]) == (
        2_500_000, 1_000_000, 1350, 420,
    )  # fmt: skip


def test_limits_are_lifted_by_null(owned):
    change(owned, others_per_day="1", quiet_from="22:00", quiet_until="23:00")

    answer = change(owned, others_per_day=None, quiet_from=None, quiet_until=None)

    assert answer.json["others_per_day"] is answer.json["quiet_from"] is answer.json["quiet_until"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"others_per_day": "-1"}, "others_per_day"),
        ({"others_per_day": "much"}, "others_per_day"),
        ({"others_per_day": True}, "others_per_day"),
        ({"others_per_day": "1e3"}, "others_per_day"),
        ({"member_per_day": "99999999"}, "member_per_day"),
        ({"member_per_day": []}, "member_per_day"),
        ({"owner_reserve": 1.1}, "owner_reserve"),
        ({"owner_reserve": -0.1}, "owner_reserve"),
        ({"owner_reserve": None}, "owner_reserve"),
        ({"quiet_from": "22:00"}, "quiet_until"),
        ({"quiet_until": "22:00"}, "quiet_from"),
        ({"quiet_from": None, "quiet_until": "22:00"}, "quiet_from"),
        ({"quiet_from": "24:00", "quiet_until": "07:00"}, "quiet_from"),
        ({"quiet_from": "7", "quiet_until": "07:00"}, "quiet_from"),
        ({"quiet_from": 1350, "quiet_until": "07:00"}, "quiet_from"),
    ],
)
def test_a_limit_that_cannot_be_used_names_the_field_and_changes_nothing(owned, body, field):
    before = rows("accounts")

    answer = change(owned, **body)

    assert answer.status_code == 422
    assert set(answer.json["errors"]["json"]) & {field, "quiet_from", "quiet_until"}
    assert field in str(answer.json["errors"]) or "quiet" in field
    db.session.expire_all()
    assert rows("accounts") == before
