from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from shared_accounts.auth import factors, passwords
from shared_accounts.auth.models import Identity, SecondFactor
from shared_accounts.extensions import db
from shared_accounts.users import invitations, roster
from tests import factories
from tests.conftest import rows

USERS = "/api/admin/users"


def names(answer):
    return [user["username"] for user in answer.json]


def test_an_admin_sees_all_there_is_to_know_about_somebody(admin, app, sign_in, session, boss):
    invitation, _ = invitations.invite(boss.id, max_uses=1, expires_at=None, note=None)
    alice = factories.user(username="alice", password=factories.PASSWORD, invitation_id=invitation.id)
    for provider, name in (("linux_do", "ali"), ("github", None)):
        session.add(Identity(user_id=alice.id, provider=provider, subject="7", name=name))
    factors.begin(alice.id, "alice", app.extensions["vault"])
    session.get(SecondFactor, alice.id).confirmed_at = factories.ago(days=1)
    for _ in range(2):
        sign_in(alice)
        factories.api_key(alice)
    factories.account(alice)
    withdrawn = factories.account(alice)
    withdrawn.state, withdrawn.sealed_credential = "withdrawn", None
    session.commit()

    shown = admin.get(f"{USERS}/{alice.id}")

    body = shown.json
    assert shown.headers["Cache-Control"] == "no-store"
    assert body.pop("created_at").endswith("+00:00")
    assert body == {
        "id": alice.id,
        "username": "alice",
        "avatar_url": None,
        "role": "user",
        "state": "active",
        "is_active": True,
        "is_silenced": False,
        "beta": 0,
        "trust_level": 0,
        "state_by_hand": False,
        "trust_by_hand": False,
        "prefer_shared": False,
        "use_only_dedicated": False,
        "last_login_at": None,
        "has_password": True,
        "second_factor": True,
        "identities": [{"provider": "linux_do", "name": "ali"}, {"provider": "github", "name": None}],
        "sessions": 2,
        "api_keys": 2,
        "accounts": 1,
        "invitation_id": invitation.id,
    }
    assert admin.get(USERS).json == [{**shown.json}, admin.get(f"{USERS}/{boss.id}").json]


def test_what_is_over_or_unconfirmed_does_not_count(admin, app, sign_in):
    alice = factories.user(username="alice")
    sign_in(alice)
    factors.begin(alice.id, "alice", app.extensions["vault"])
    db.session.execute(db.text("update sessions set revoked_at = now() where user_id = :alice"), {"alice": alice.id})
    db.session.commit()

    body = admin.get(f"{USERS}/{alice.id}").json

    assert (body["sessions"], body["second_factor"], body["has_password"], body["identities"]) == (0, False, False, [])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["50%_off", "Zoë", "bob", "Alice", "boss"]),
        ({"search": "ALI"}, ["Alice"]),
        ({"search": "b"}, ["bob", "boss"]),
        ({"search": "Zoe\u0308"}, ["Zoë"]),
        ({"search": "zOË"}, ["Zoë"]),
        ({"search": "%"}, ["50%_off"]),
        ({"search": "_"}, ["50%_off"]),
        ({"search": "\\"}, []),
        ({"search": "/"}, []),
        ({"search": "' or 1=1 --"}, []),
        ({"state": "silenced"}, ["bob"]),
        ({"role": "admin"}, ["boss"]),
        ({"role": "admin", "search": "bob"}, []),
        ({"search": "", "state": "", "role": ""}, ["50%_off", "Zoë", "bob", "Alice", "boss"]),
    ],
)
def test_people_are_found_by_part_of_the_name_state_and_role(admin, query, found):
    for name, state in (("Alice", "active"), ("bob", "silenced"), ("Zoë", "active"), ("50%_off", "disabled")):
        factories.user(username=name, state=state)

    assert names(admin.get(USERS, query_string=query)) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [({"state": "gone"}, "state"), ({"role": "root"}, "role"), ({"search": "x" * 51}, "search")],
)
def test_a_filter_that_cannot_be_used_is_named(admin, query, field):
    answer = admin.get(USERS, query_string=query)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["query"]


def test_the_list_is_paged_newest_first(admin):
    for n in range(4):
        factories.user(username=f"number {n}")

    answer = admin.get(USERS, query_string={"page": 2, "page_size": 2, "search": "number"})

    assert names(answer) == ["number 1", "number 0"]
    assert json.loads(answer.headers["X-Pagination"])["total"] == 4


def test_a_page_of_many_costs_as_many_queries_as_a_page_of_one(admin, sign_in, count_queries):
    for _ in range(5):
        user = factories.user()
        sign_in(user)
        factories.api_key(user)
        db.session.add(Identity(user_id=user.id, provider="github", subject=str(user.id)))
    db.session.commit()

    with count_queries() as queries:
        assert len(admin.get(USERS).json) == 6

    assert len(queries) == 4  # the guard, whether a second factor is needed, the page, the count


def test_nothing_an_admin_reads_holds_a_hash(admin):
    alice = factories.user(password=factories.PASSWORD)

    assert alice.password_hash not in admin.get(USERS).text
    assert "password_hash" not in admin.get(USERS).text


def test_somebody_new_gets_a_password_that_is_shown_once(admin, client, boss, acts):
    answer = admin.post(USERS, json={"username": "Alice"})

    password = answer.json["password"]
    alice = roster.find_by_username("alice")
    assert answer.status_code == 201
    assert len(password) == 20
    assert answer.json["user"] == admin.get(f"{USERS}/{alice.id}").json
    assert (alice.role, alice.trust_level, alice.trust_by_hand) == ("user", 0, False)
    signed_in = client.post("/api/auth/login", json={"username": "alice", "password": password})
    assert signed_in.status_code == 200
    (entry, _) = acts()
    assert (entry["act"], entry["actor_id"], entry["user_id"]) == ("user.registered", boss.id, alice.id)
    assert entry["details"] == {"how": "admin", "role": "user"}
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert entry["address"] == "127.0.0.1"


def test_a_password_that_was_sent_is_not_sent_back(admin):
    body = {"username": "alice", "password": factories.PASSWORD, "role": "admin", "trust_level": 3}

    answer = admin.post(USERS, json=body)

    user = answer.json["user"]
    assert set(answer.json) == {"user"}
    assert (user["role"], user["trust_level"], user["trust_by_hand"]) == ("admin", 3, True)
    assert passwords.verify(factories.PASSWORD, roster.find_by_username("alice").password_hash)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "username"),
        ({"username": None}, "username"),
        ({"username": "ab"}, "username"),
        ({"username": "x" * 51}, "username"),
        ({"username": "a\u202eb"}, "username"),
        ({"username": "ali\u200bce"}, "username"),
        ({"username": 7}, "username"),
        ({"username": "alice", "password": "short"}, "password"),
        ({"username": "alice", "password": "password1"}, "password"),
        ({"username": "alice-in-wonderland", "password": "Alice-in-Wonderland"}, "password"),
        ({"username": "alice", "password": ""}, "password"),
        ({"username": "alice", "password": "x" * 1025}, "password"),
        ({"username": "alice", "password": 12345678}, "password"),
        ({"username": "alice", "role": "root"}, "role"),
        ({"username": "alice", "role": None}, "role"),
        ({"username": "alice", "trust_level": 5}, "trust_level"),
        ({"username": "alice", "trust_level": -1}, "trust_level"),
        ({"username": "alice", "trust_level": "3"}, "trust_level"),
        ({"username": "alice", "trust_level": 1.5}, "trust_level"),
        ({"username": "alice", "trust_level": True}, "trust_level"),
        ({"username": "alice", "state": "disabled"}, "state"),
        ({"username": "alice", "password_hash": "x"}, "password_hash"),
        ({"username": "alice", "id": 1}, "id"),
    ],
)
def test_a_new_user_that_cannot_be_names_the_field_and_nobody_is_made(admin, body, field):
    answer = admin.post(USERS, json=body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]
    assert [row["username"] for row in rows("users")] == ["boss"]
    assert rows("audit_log") == []


def test_a_taken_name_is_a_conflict(admin):
    answer = admin.post(USERS, json={"username": "BOSS"})

    assert (answer.status_code, answer.json["error_code"]) == (409, "ALREADY_EXISTS")
    assert list(answer.json["errors"]["json"]) == ["username"]


@pytest.mark.parametrize(
    ("change", "after", "act", "details"),
    [
        ({"state": "disabled"}, {"state": "disabled", "state_by_hand": True, "is_active": False}, "user.disabled", {}),
        ({"state": "silenced"}, {"state": "silenced", "state_by_hand": True, "is_silenced": True}, "user.silenced", {}),
        ({"role": "admin"}, {"role": "admin"}, "user.role_set", {"role": "admin"}),
        ({"trust_level": 4}, {"trust_level": 4, "trust_by_hand": True}, "user.trust_set", {"trust_level": 4}),
    ],
)
def test_each_change_takes_hold_and_leaves_one_entry(admin, boss, acts, change, after, act, details):
    alice = factories.user(username="alice")
    before = admin.get(f"{USERS}/{alice.id}").json

    answer = admin.patch(f"{USERS}/{alice.id}", json=change)

    assert answer.status_code == 200
    assert answer.json == {**before, **after} == admin.get(f"{USERS}/{alice.id}").json
    (entry,) = acts()
    assert (entry["act"], entry["actor_id"], entry["user_id"], entry["details"]) == (act, boss.id, alice.id, details)
    assert (entry["address"], entry["request_id"]) == ("127.0.0.1", answer.headers["x-request-id"])


def test_several_changes_at_once_leave_an_entry_each(admin, acts):
    alice = factories.user()

    answer = admin.patch(f"{USERS}/{alice.id}", json={"state": "silenced", "role": "admin", "trust_level": 2})

    assert answer.status_code == 200
    assert [entry["act"] for entry in acts()] == ["user.silenced", "user.role_set", "user.trust_set"]


@pytest.mark.parametrize("change", [{}, {"role": "user"}, {"state_by_hand": False}, {"trust_by_hand": False}])
def test_a_change_that_changes_nothing_leaves_no_entry(admin, acts, change):
    alice = factories.user()

    assert admin.patch(f"{USERS}/{alice.id}", json=change).status_code == 200

    assert acts() == []


def test_the_provider_may_be_let_decide_again(admin, acts):
    alice = factories.user(state="silenced", state_by_hand=True, trust_level=3, trust_by_hand=True)

    shown = admin.patch(f"{USERS}/{alice.id}", json={"trust_by_hand": False}).json

    assert (shown["trust_level"], shown["trust_by_hand"], shown["state_by_hand"]) == (3, False, True)
    (entry,) = acts()
    assert (entry["act"], entry["details"]) == ("user.follows_provider", {"state": False, "trust": True})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"state": "gone"}, "state"),
        ({"state": None}, "state"),
        ({"role": "root"}, "role"),
        ({"trust_level": 5}, "trust_level"),
        ({"trust_level": "4"}, "trust_level"),
        ({"trust_level": None}, "trust_level"),
        ({"state_by_hand": True}, "state_by_hand"),
        ({"state_by_hand": None}, "state_by_hand"),
        ({"trust_by_hand": True}, "trust_by_hand"),
        ({"trust_by_hand": "false"}, "trust_by_hand"),
        ({"username": "mallory"}, "username"),
        ({"password": factories.PASSWORD}, "password"),
        ({"role": "admin", "state": "gone"}, "state"),
    ],
)
def test_a_change_that_cannot_be_names_the_field_and_changes_nothing(admin, body, field):
    alice = factories.user()
    before = rows("users")

    answer = admin.patch(f"{USERS}/{alice.id}", json=body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]
    assert rows("users") == before


@pytest.mark.parametrize("change", [{"role": "user"}, {"state": "disabled"}, {"state": "silenced"}])
def test_the_last_active_admin_stays_one(admin, boss, acts, change):
    factories.admin(state="disabled")
    factories.admin(state="silenced")

    answer = admin.patch(f"{USERS}/{boss.id}", json={"trust_level": 3, **change})

    assert (answer.status_code, answer.json["error_code"]) == (409, "ALREADY_EXISTS")
    assert "last admin" in answer.json["detail"]
    body = admin.get(f"{USERS}/{boss.id}").json
    assert (body["role"], body["state"], body["trust_level"]) == ("admin", "active", 0)
    assert acts() == []


def test_an_admin_may_step_down_when_there_is_another(admin, boss):
    factories.admin()

    assert admin.patch(f"{USERS}/{boss.id}", json={"role": "user"}).status_code == 200

    assert admin.get(USERS).status_code == 403


def test_of_two_admins_who_demote_each_other_at_once_one_remains(app, committed, sign_in):
    for _ in range(5):
        pair = [factories.admin(), factories.admin()]
        clients = [sign_in(one) for one in pair]
        paths = [f"{USERS}/{one.id}" for one in reversed(pair)]
        together = Barrier(2)

        def demote(number, clients=clients, paths=paths, together=together):
            together.wait()
            return clients[number].patch(paths[number], json={"role": "user"}).status_code

        with ThreadPoolExecutor(2) as threads:
            statuses = sorted(threads.map(demote, range(2)))

        assert statuses in ([200, 409], [200, 403])  # 403: the first was through before the second was let in
        remaining = [row for row in rows("users") if row["role"] == "admin"]
        assert len(remaining) == 1
        committed.rollback()
        committed.execute(db.text("update users set role = 'user'"))
        committed.commit()


def test_disabling_bites_on_the_very_next_request_and_restoring_undoes_it(committed, client, admin, sign_in):
    alice = factories.user(username="alice", password=factories.PASSWORD)
    hers = sign_in(alice)
    _, secret = factories.api_key(alice)
    path = f"{USERS}/{alice.id}"

    def doors():
        answers = [
            hers.get("/api/auth/me"),
            client.get("/v1/models", headers={"x-api-key": secret}),
            client.post("/api/auth/login", json={"username": "alice", "password": factories.PASSWORD}),
        ]
        return [answer.status_code for answer in answers]

    assert doors() == [200, 200, 200]
    assert admin.patch(path, json={"state": "disabled"}).status_code == 200
    assert doors() == [403, 403, 403]
    assert hers.get("/api/auth/me").json["error_code"] == "ACCOUNT_DISABLED"
    assert admin.patch(path, json={"state": "active"}).status_code == 200
    assert doors() == [200, 200, 200]


def test_silencing_stops_writing_and_not_reading(admin, sign_in):
    alice = factories.user()
    hers = sign_in(alice)

    admin.patch(f"{USERS}/{alice.id}", json={"state": "silenced"})

    assert hers.get("/api/api-keys").status_code == 200
    assert hers.post("/api/api-keys").json["error_code"] == "ACCOUNT_SILENCED"


def test_no_password_is_written_to_the_log_or_the_audit_log(admin, caplog):
    caplog.set_level(logging.DEBUG)

    made_up = admin.post(USERS, json={"username": "alice"}).json["password"]
    alice = roster.find_by_username("alice")
    admin.post(f"{USERS}/{alice.id}/password", json={"password": factories.PASSWORD})

    written = caplog.text + repr(rows("audit_log"))
    assert made_up not in written
    assert factories.PASSWORD not in written
