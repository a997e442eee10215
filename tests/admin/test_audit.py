from __future__ import annotations

import json

import pytest

from shared_accounts.audit import trail
from shared_accounts.extensions import db
from tests import factories

AUDIT = "/api/admin/audit"


@pytest.fixture
def history(boss):
    """Four acts: by an admin, by the operator, by somebody unknown, on somebody who is no more."""
    alice = factories.user(username="alice")
    trail.record("user.disabled", on=alice.id, actor=boss.id)
    trail.record("user.restored", on=alice.id)
    trail.record("username.odd", on=boss.id, actor=alice.id, target="thing:7", colour="red")
    trail.record("sign_in.refused", on=999_999_999, method="password")
    db.session.commit()
    return alice


def acts(answer):
    return [entry["act"] for entry in answer.json]


def test_entries_are_listed_newest_first_with_names(admin, boss, history):
    answer = admin.get(AUDIT)

    newest, odd, restored, disabled = answer.json
    assert odd.pop("at").endswith("+00:00")
    assert odd == {
        "id": odd["id"],
        "act": "username.odd",
        "actor_id": history.id,
        "actor": "alice",
        "user_id": boss.id,
        "user": "boss",
        "target": "thing:7",
        "address": "operator",
        "request_id": None,
        "details": {"colour": "red"},
    }
    assert (newest["user_id"], newest["user"], newest["actor"]) == (999_999_999, None, None)
    assert (restored["actor_id"], restored["actor"], restored["user"]) == (None, None, "alice")
    assert (disabled["actor"], disabled["user"]) == ("boss", "alice")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"act": "user.disabled"}, ["user.disabled"]),
        ({"act": "user"}, ["user.restored", "user.disabled"]),
        ({"act": "user%"}, []),
        ({"act": "us_r"}, []),
        ({"act": ""}, ["sign_in.refused", "username.odd", "user.restored", "user.disabled"]),
        ({"user_id": "alice"}, ["user.restored", "user.disabled"]),
        ({"actor_id": "alice"}, ["username.odd"]),
        ({"user_id": "alice", "actor_id": "boss", "act": "user"}, ["user.disabled"]),
        ({"user_id": "0"}, []),
    ],
)
def test_entries_are_found_by_act_actor_and_user(admin, boss, history, query, found):
    ids = {"alice": history.id, "boss": boss.id}

    answer = admin.get(AUDIT, query_string={name: ids.get(value, value) for name, value in query.items()})

    assert acts(answer) == found
    assert json.loads(answer.headers["X-Pagination"])["total"] == len(found)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"actor_id": "x"}, "actor_id"),
        ({"user_id": "9" * 400}, "user_id"),
        ({"user_id": "1.5"}, "user_id"),
        ({"act": "x" * 101}, "act"),
        ({"act": "\x00"}, "act"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(admin, query, field):
    answer = admin.get(AUDIT, query_string=query)

    assert answer.status_code == 422
    assert field in answer.text


def test_the_log_is_paged_and_costs_the_same_for_any_page(admin, history, count_queries):
    with count_queries() as queries:
        answer = admin.get(AUDIT, query_string={"page": 2, "page_size": 1})

    assert acts(answer) == ["username.odd"]
    assert len(queries) == 4  # the guard, whether a second factor is needed, the count, the page


def test_reading_leaves_no_entry(admin, boss):
    for path in ("users", f"users/{boss.id}", f"users/{boss.id}/sessions", "invitations", "settings", "trust-levels"):
        assert admin.get(f"/api/admin/{path}").status_code == 200

    assert admin.get(AUDIT).json == []
