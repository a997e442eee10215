from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from shared_accounts.extensions import db
from shared_accounts.users.models import Invitation
from tests import factories
from tests.conftest import rows

INVITATIONS = "/api/admin/invitations"


def sign_up(client, name, code):
    body = {"username": name, "password": factories.PASSWORD, "invitation_code": code}
    return client.post("/api/auth/register", json=body)


def test_the_life_of_an_invitation(admin, client, boss, acts, with_settings):
    end = (datetime.now(UTC) + timedelta(days=7)).replace(microsecond=0)

    made = admin.post(INVITATIONS, json={"max_uses": 2, "expires_at": end.isoformat(), "note": "for the team"})

    body = made.json
    code = body.pop("code")
    assert made.status_code == 201
    assert body.pop("created_at").endswith("+00:00")
    assert datetime.fromisoformat(body.pop("expires_at")) == end
    assert body == {
        "id": body["id"],
        "preview": code[:6] + "...",
        "state": "open",
        "uses": 0,
        "max_uses": 2,
        "note": "for the team",
        "created_by": boss.id,
        "revoked_at": None,
    }
    (entry,) = acts()
    assert (entry["act"], entry["actor_id"], entry["user_id"]) == ("invitation.created", boss.id, None)
    assert (entry["target"], entry["request_id"]) == (f"invitation:{body['id']}", made.headers["x-request-id"])

    with with_settings(registration="invite"):
        came = sign_up(client, "alice", code)
        assert came.status_code == 201
        (listed,) = admin.get(INVITATIONS).json
        assert (listed["uses"], listed["state"], "code" in listed) == (1, "open", False)
        assert admin.get(f"/api/admin/users/{came.json['user']['id']}").json["invitation_id"] == body["id"]

        gone = admin.delete(f"{INVITATIONS}/{body['id']}")
        assert gone.json == {"message": "The invitation has been revoked.", "success": True}
        assert sign_up(client, "bob", code).status_code == 422
    assert admin.get(INVITATIONS).json[0]["state"] == "revoked"


def test_an_invitation_is_for_one_person_unless_it_says_otherwise(admin):
    made = admin.post(INVITATIONS).json

    assert (made["max_uses"], made["expires_at"], made["note"]) == (1, None, None)


def test_revoking_twice_is_harmless(admin, acts):
    invitation_id = admin.post(INVITATIONS).json["id"]
    admin.delete(f"{INVITATIONS}/{invitation_id}")
    before = rows("invitations")

    assert admin.delete(f"{INVITATIONS}/{invitation_id}").status_code == 200

    assert rows("invitations") == before
    assert [entry["act"] for entry in acts()] == ["invitation.created", "invitation.revoked"]


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, "open"),
        ({"uses": 1}, "open"),
        ({"uses": 2}, "used up"),
        ({"expires_at": factories.ago(seconds=1)}, "expired"),
        ({"expires_at": factories.ago(seconds=-60)}, "open"),
        ({"uses": 2, "expires_at": factories.ago(seconds=1)}, "used up"),
        ({"uses": 2, "revoked_at": factories.ago(seconds=1)}, "revoked"),
    ],
)
def test_a_list_says_whether_a_code_still_works(admin, values, state):
    admin.post(INVITATIONS, json={"max_uses": 2})
    if values:
        db.session.execute(update(Invitation).values(**values))
        db.session.commit()

    assert [one["state"] for one in admin.get(INVITATIONS).json] == [state]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": -1}, "max_uses"),
        ({"max_uses": 10_001}, "max_uses"),
        ({"max_uses": "3"}, "max_uses"),
        ({"max_uses": 1.5}, "max_uses"),
        ({"max_uses": None}, "max_uses"),
        ({"max_uses": True}, "max_uses"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2031-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"expires_at": 4102444800}, "expires_at"),
        ({"note": "x" * 201}, "note"),
        ({"note": "a\nb"}, "note"),
        ({"note": 7}, "note"),
        ({"code": "mine"}, "code"),
        ({"uses": 0}, "uses"),
        ({"created_by": 1}, "created_by"),
    ],
)
def test_an_invitation_that_cannot_be_names_the_field_and_makes_nothing(admin, body, field):
    answer = admin.post(INVITATIONS, json=body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]
    assert rows("invitations") == rows("audit_log") == []


def test_the_list_is_paged_newest_first(admin):
    for n in range(3):
        admin.post(INVITATIONS, json={"note": str(n)})

    answer = admin.get(INVITATIONS, query_string={"page_size": 2})

    assert [one["note"] for one in answer.json] == ["2", "1"]
    assert '"total": 3' in answer.headers["X-Pagination"]


def test_a_code_is_nowhere_to_be_read_again(admin):
    code = admin.post(INVITATIONS).json["code"]

    assert code not in repr(rows("invitations")) + repr(rows("audit_log")) + admin.get(INVITATIONS).text
