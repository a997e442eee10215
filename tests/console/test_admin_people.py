"""The group's pages about people: found, let in, silenced, undone."""

from __future__ import annotations

import re

import pytest

from shared_accounts.extensions import db
from shared_accounts.users.models import User
from tests import factories
from tests.conftest import rows
from tests.console.reader import Reader


@pytest.fixture
def boss(signed_in, session) -> Reader:
    """An admin's browser."""
    return signed_in(factories.admin(username="boss", password=factories.PASSWORD))


def acts():
    return [row["act"] for row in sorted(rows("audit_log"), key=lambda row: row["id"])]


def state_of(user_id):
    return db.session.get(User, user_id, populate_existing=True).state


def admin_paths(app):
    return [
        re.sub(r"<[^>]+>", "1", rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/admin") and "GET" in rule.methods
    ]


def test_for_anybody_else_there_is_nothing_at_these_addresses(app, browser):
    nothing = browser.get("/nothing")
    assert len(admin_paths(app)) > 5
    for path in admin_paths(app):
        page = browser.get(path)
        assert (page.status, page.text) == (404, nothing.text), path
    assert "/admin" not in browser.get("/overview").source


def test_anybody_elses_forms_lead_nowhere(app, browser, lin):
    token = browser.get("/keys/new").form("/keys").fields["csrf"]
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/admin") and "POST" in rule.methods:
            path = re.sub(r"<int:[^>]+>", str(lin.id), rule.rule).replace("<uuid:session_id>", "0" * 32)
            assert browser.post(path, {"csrf": token, "state": "disabled"}).status == 404, path
    assert state_of(lin.id) == "active"


def test_a_silenced_admin_reads_and_changes_nothing(signed_in):
    mute = signed_in(factories.admin(username="mute", password=factories.PASSWORD, state="silenced"))
    nora = factories.user()
    page = mute.get(f"/admin/users/{nora.id}")

    assert page.status == 200
    assert mute.send(page, f"/admin/users/{nora.id}/state", state="disabled").status == 403
    assert state_of(nora.id) == "active"


def test_where_admins_need_a_second_factor_the_pages_ask_for_one(boss, with_settings):
    with with_settings(require_admin_2fa=True):
        assert boss.get("/admin/users").status == 403


def test_people_are_found_by_name_and_state(boss):
    factories.user(username="Nora")
    factories.user(username="Norbert", state="disabled")

    both, one, none = (boss.get(f"/admin/users?search=nor{more}") for more in ("", "&state=disabled", "a&role=admin"))

    assert ("Nora" in both.text, "Norbert" in both.text) == (True, True)
    assert ("Nora" in one.text, "Norbert" in one.text) == (False, True)
    assert "No line matches these filters" in none.text
    assert "3 people: 2 active, 0 silenced, 1 disabled." in both.text


def test_somebody_is_silenced_in_the_list_and_that_is_undone(boss):
    nora = factories.user(username="Nora").id
    action = f"/admin/users/{nora}/state"

    told = boss.follow(boss.send(boss.get("/admin/users?search=nor"), action, state="silenced"))
    assert state_of(nora) == "silenced"
    assert "Nora is silenced" in told.text
    (undo,) = [form for form in told.forms if form.action == action and form.names == {"csrf", "kept_search", "state"}][
        -1:
    ]
    undone = boss.follow(boss.post(action, {**undo.fields, "state": "active"}))

    assert state_of(nora) == "active"
    assert undone.all("input")[0]["value"] == "nor" or 'value="nor"' in undone.source
    assert acts()[-2:] == ["user.silenced", "user.restored"]


def test_disabling_somebody_ends_what_she_can_do_at_once(boss, signed_in, lin):
    hers = signed_in(lin)
    assert hers.get("/overview").status == 200

    boss.send(boss.get(f"/admin/users/{lin.id}"), f"/admin/users/{lin.id}/state", state="disabled")

    assert hers.get("/overview").status == 403


def test_the_last_admin_stays_one(boss):
    me = db.session.query(User.id).filter_by(role="admin").scalar()
    page = boss.get(f"/admin/users/{me}")

    told = boss.follow(boss.send(page, f"/admin/users/{me}/state", state="silenced"))
    demoted = boss.follow(boss.send(page, f"/admin/users/{me}", role="user"))

    assert state_of(me) == "active"
    assert "This is the last admin" in told.text
    assert "This is the last admin" in demoted.text


def test_somebody_is_let_in_with_a_password_that_is_shown_once(boss, app):
    made = boss.send(boss.get("/admin/users/new"), "/admin/users", username="Nora", role="user", trust_level="2")
    password = re.search(r'id="fresh">([^<]+)<', made.source)[1]

    assert made.status == 201
    assert Reader(app).sign_in("Nora", password).status == 303
    nora = db.session.query(User).filter_by(username="Nora").one()
    assert (nora.role, nora.trust_level) == ("user", 2)
    assert password not in boss.get(f"/admin/users/{nora.id}").source
    taken = boss.send(boss.get("/admin/users/new"), "/admin/users", username="nora", role="user")
    assert taken.status == 409
    assert [one["name"] for one in taken.all("input") if one.get("aria-invalid")] == ["username"]


def test_a_password_is_reset_and_her_sessions_end(boss, signed_in, lin, app):
    hers = signed_in(lin)
    asked = boss.get(f"/admin/users/{lin.id}/password")
    told = boss.send(asked, f"/admin/users/{lin.id}/password")
    password = re.search(r'id="fresh">([^<]+)<', told.source)[1]

    assert hers.get("/overview").status == 303
    assert Reader(app).sign_in("Lin Wei", password).status == 303


def test_role_and_trust_level_are_changed_by_hand(boss, lin):
    path = f"/admin/users/{lin.id}"
    page = boss.get(path)
    saved = boss.follow(boss.send(page, path, role="admin", trust_level="3"))
    same = boss.send(saved, path)

    row = db.session.get(User, lin.id, populate_existing=True)
    assert (row.role, row.trust_level, row.trust_by_hand) == ("admin", 3, True)
    assert same.status == 303
    assert acts()[-2:] == ["user.role_set", "user.trust_set"]
    assert boss.send(page, path, trust_level="9").status == 422


def test_one_or_all_of_her_sessions_are_ended(boss, signed_in, lin):
    first, second = signed_in(lin), signed_in(lin)
    page = boss.get(f"/admin/users/{lin.id}")
    one, other = [form.action for form in page.forms if form.action.endswith("/end")]

    boss.send(page, one)
    assert sorted(each.get("/overview").status for each in (first, second)) == [200, 303]
    boss.send(page, f"/admin/users/{lin.id}/sessions", at="user")
    assert [each.get("/overview").status for each in (first, second)] == [303, 303]
    assert one != other


def test_an_invitation_is_shown_once_used_and_revoked(boss, app, with_settings):
    made = boss.send(boss.get("/admin/invitations/new"), "/admin/invitations", max_uses="2", days="7", note="for Nora")
    code = re.search(r"invitation_code=([\w-]+)", made.source)[1]
    with with_settings(registration="invite"):
        reader = Reader(app)
        page = reader.get(f"/sign-up?invitation_code={code}")
        joined = reader.send(page, "/sign-up", username="Nora", password=factories.PASSWORD)
        listed = boss.get("/admin/invitations")

    assert (made.status, joined.status) == (201, 303)
    assert "1 of 2" in listed.text
    assert code not in listed.source
    invitation = rows("invitations")[0]
    gone = boss.follow(
        boss.send(
            boss.get(f"/admin/invitations/{invitation['id']}/revoke"), f"/admin/invitations/{invitation['id']}/revoke"
        )
    )
    assert "The invitation is revoked" in gone.text
    assert rows("invitations")[0]["revoked_at"] is not None


@pytest.mark.parametrize("wrong", [{"max_uses": "0"}, {"max_uses": "x"}, {"days": "365"}, {"note": "n" * 201}])
def test_an_invitation_that_cannot_be_is_told_at_its_field(boss, wrong):
    page = boss.get("/admin/invitations/new")
    answer = boss.send(page, "/admin/invitations", **{"max_uses": "1", "days": "7", **wrong})

    assert answer.status == 422
    wanted = {next(iter(wrong))}
    assert {one["name"] for one in answer.all("input") + answer.all("select") if one.get("aria-invalid")} == wanted
    assert rows("invitations") == []


def test_where_sign_up_is_closed_the_page_says_that_no_code_counts(boss):
    assert "no code lets anybody in" in boss.get("/admin/invitations").text
