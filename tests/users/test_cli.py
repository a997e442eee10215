from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta

import pytest
from flask import current_app

from shared_accounts.auth import factors, passwords, tokens
from shared_accounts.auth.models import SecondFactor
from shared_accounts.config import MICRO
from shared_accounts.users import invitations, roster
from tests import factories
from tests.conftest import ROOT, rows


@pytest.fixture
def run(app, session):
    return lambda *arguments, **options: app.test_cli_runner().invoke(args=arguments, **options)


@pytest.fixture
def run_with(with_settings, run):
    def invoke(*arguments, **changes):
        with with_settings(**changes):
            return run(*arguments)

    return invoke


def test_bootstrap_makes_the_first_admin(run_with):
    result = run_with("users", "bootstrap", admin_username="root-admin", admin_password="a long enough one")

    admin = roster.find_by_username("root-admin")
    assert result.exit_code == 0
    assert admin.role == "admin"
    assert passwords.verify("a long enough one", admin.password_hash)
    assert "a long enough one" not in result.output


def test_a_second_bootstrap_changes_nothing(run_with):
    run_with("users", "bootstrap", admin_username="root-admin", admin_password="a long enough one")
    before = rows("users")

    result = run_with("users", "bootstrap", admin_username="another", admin_password="another long one")

    assert result.exit_code == 0
    assert rows("users") == before


def test_of_two_release_steps_at_once_one_makes_the_admin(environment, new_database):
    url = new_database("bootstrap")
    settings = {"DATABASE_URL": url, "ADMIN_USERNAME": "root-admin", "ADMIN_PASSWORD": "a long enough one"}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "users", "bootstrap"]

    steps = [
        subprocess.Popen(command, cwd=ROOT, env={**environment, **settings}, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(step.communicate(timeout=50)[0] for step in steps)

    assert [step.returncode for step in steps] == [0, 0]
    assert said == ["There is an admin already; nothing to do.\n", "root-admin is the first admin.\n"]


def test_bootstrap_without_a_name_makes_nobody_and_says_what_to_do(run):
    result = run("users", "bootstrap")

    assert result.exit_code == 0
    assert "ADMIN_USERNAME" in result.output
    assert rows("users") == []


@pytest.mark.parametrize(("password", "said"), [("", "ADMIN_PASSWORD"), ("short", "at least 8"), ("password", "first")])
def test_bootstrap_refuses_a_missing_or_weak_password(run_with, password, said):
    result = run_with("users", "bootstrap", admin_username="root-admin", admin_password=password)

    assert result.exit_code == 1
    assert said in result.output
    assert rows("users") == []


def test_bootstrap_never_takes_over_a_user_who_has_the_name(run_with):
    factories.user(username="root-admin")

    result = run_with("users", "bootstrap", admin_username="Root-Admin", admin_password="a long enough one")

    assert result.exit_code == 1
    assert [row["role"] for row in rows("users")] == ["user"]


def test_create_prints_a_password_that_works_once(run):
    result = run("users", "create", "alice")

    password = re.search(r"with password (\S+)", result.output)[1]
    assert passwords.verify(password, roster.find_by_username("alice").password_hash)


def test_create_reads_a_password_and_keeps_it_to_itself(run):
    result = run("users", "create", "alice", "--admin", "--password-stdin", input="a long enough one\n")

    alice = roster.find_by_username("alice")
    assert alice.role == "admin"
    assert passwords.verify("a long enough one", alice.password_hash)
    assert "a long enough one" not in result.output


def test_create_refuses_a_taken_name(run):
    run("users", "create", "alice")

    result = run("users", "create", "ALICE")

    assert result.exit_code == 1
    assert "taken" in result.output


def test_list_shows_everybody(run):
    factories.admin(username="alice")
    factories.user(username="bob", state="silenced")

    lines = run("users", "list").output.splitlines()

    assert re.fullmatch(r" +\d+  active    admin  alice  never", lines[0])
    assert re.fullmatch(r" +\d+  silenced  user   bob  never", lines[1])


@pytest.fixture
def alice(session):
    """Signed in, with a password and a second factor."""
    user = factories.user(username="Alice", password=factories.PASSWORD)
    factors.begin(user.id, "Alice", current_app.extensions["vault"])
    session.get(SecondFactor, user.id).confirmed_at = factories.ago(days=1)
    tokens.issue(user, user_agent="curl/8.0", address="192.0.2.7")
    session.commit()
    return user


def sessions_left():
    return len([row for row in rows("sessions") if row["revoked_at"] is None])


@pytest.mark.parametrize(
    ("command", "after", "said", "act"),
    [
        ("disable", {"state": "disabled"}, "is disabled", "user.disabled"),
        ("silence", {"state": "silenced"}, "is silenced", "user.silenced"),
        ("restore", {"state": "active", "state_by_hand": True}, "is active", "user.restored"),
        ("make-admin", {"role": "admin"}, "is an admin", "user.role_set"),
    ],
)
def test_an_operator_decides_and_it_is_written_down(run, alice, command, after, said, act):
    result = run("users", command, "alice")

    (row,) = rows("users")
    assert (result.exit_code, result.output) == (0, f"alice {said}.\n")
    assert {name: row[name] for name in after} == after
    (entry,) = rows("audit_log")
    assert (entry["act"], entry["user_id"], entry["actor_id"], entry["address"]) == (act, row["id"], None, "operator")


def test_an_admin_is_made_a_user_again_but_not_the_last_one(run):
    factories.admin(username="alice")
    factories.admin(username="bobby")

    first, second = run("users", "make-user", "alice"), run("users", "make-user", "bobby")

    assert (first.exit_code, first.output) == (0, "alice is an ordinary user.\n")
    assert (second.exit_code, "last admin" in second.output) == (1, True)
    assert {row["username"]: row["role"] for row in rows("users")} == {"alice": "user", "bobby": "admin"}


@pytest.mark.parametrize("command", ["disable", "silence", "make-user"])
def test_the_last_admin_stays_one(run, command):
    factories.admin(username="alice")

    result = run("users", command, "alice")

    assert (result.exit_code, result.output) == (1, "Error: This is the last admin; make another one first.\n")
    assert rows("audit_log") == []


@pytest.mark.parametrize(
    "command",
    [
        "set-password",
        "disable",
        "silence",
        "restore",
        "make-admin",
        "make-user",
        "sessions",
        "reset-second-factor",
    ],
)
@pytest.mark.parametrize("name", ["nobody", "no\nbody", ""])
def test_an_unknown_name_is_said_to_be_one(run, command, name):
    result = run("users", command, name)

    assert (result.exit_code, result.output) == (1, f"Error: There is no user called {name}.\n")
    assert isinstance(result.exception, SystemExit)


def test_a_new_password_is_made_up_and_ends_her_sessions(run, alice):
    result = run("users", "set-password", "alice")

    password = re.fullmatch(r"alice has a new password: (\S+)\n", result.output)[1]
    assert passwords.verify(password, rows("users")[0]["password_hash"])
    assert sessions_left() == 0
    (entry,) = rows("audit_log")
    assert (entry["act"], entry["address"], entry["details"]) == (
        "user.password_reset",
        "operator",
        {"sessions_ended": 1},
    )


def test_a_new_password_is_read_and_kept_secret(run, alice):
    result = run("users", "set-password", "alice", "--password-stdin", input="another good one\n")

    assert (result.exit_code, result.output) == (0, "alice has a new password.\n")
    assert passwords.verify("another good one", rows("users")[0]["password_hash"])


@pytest.mark.parametrize("password", ["", "short", "password1"])
def test_a_weak_new_password_is_refused_and_nothing_happens(run, alice, password):
    before = rows("users")

    result = run("users", "set-password", "alice", "--password-stdin", input=f"{password}\n")

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert (rows("users"), sessions_left()) == (before, 1)


def test_sessions_are_listed_and_ended(run, alice):
    listed = run("users", "sessions", "alice")
    ended = run("users", "sessions", "alice", "--end")

    assert re.fullmatch(r"[0-9a-f-]{36}  \S+\+00:00  192\.0\.2\.7  curl\n", listed.output)
    assert (ended.exit_code, ended.output) == (0, "1 sessions have ended.\n")
    assert sessions_left() == 0
    assert [row["act"] for row in rows("audit_log")] == ["session.all_ended"]


def test_a_lost_second_factor_is_taken_away(run, alice):
    first, second = (run("users", "reset-second-factor", "alice") for _ in range(2))

    assert first.output == "alice has no second factor any more.\n"
    assert (second.exit_code, second.output) == (0, "alice had no second factor.\n")
    assert (rows("second_factors"), sessions_left()) == ([], 0)
    assert [row["act"] for row in rows("audit_log")] == ["second_factor.reset"]


def test_an_invitation_is_printed_once(run):
    result = run("users", "invite", "--uses", "3", "--days", "7", "--note", "for the team")

    invitation_id = invitations.spend(result.output.strip())
    (row,) = rows("invitations")
    assert (row["id"], row["max_uses"], row["note"], row["created_by"]) == (invitation_id, 3, "for the team", None)
    assert timedelta(days=6.9) < row["expires_at"] - row["created_at"] < timedelta(days=7.1)
    assert [(row["act"], row["address"]) for row in rows("audit_log")] == [("invitation.created", "operator")]


def test_an_invitation_without_words_is_for_one_person_for_ever(run):
    run("users", "invite")

    (row,) = rows("invitations")
    assert (row["max_uses"], row["expires_at"], row["note"]) == (1, None, None)


@pytest.mark.parametrize("options", [("--uses", "0"), ("--uses", "10001"), ("--days", "0"), ("--days", "x")])
def test_an_invitation_that_cannot_be_is_refused(run, options):
    assert run("users", "invite", *options).exit_code == 2
    assert rows("invitations") == []


def test_verify_counts_the_pools_it_proved(run):
    factories.quota_pool(factories.user())

    result = run("quotas", "verify")

    assert (result.exit_code, result.output) == (0, "1 pools, all invariants hold\n")


def test_verify_names_a_broken_pool_and_fails(run, session):
    pool = factories.quota_pool(factories.user())
    pool.balance += MICRO
    session.commit()

    result = run("quotas", "verify")

    assert result.exit_code == 1
    assert f"Pool {pool.id}" in result.output
