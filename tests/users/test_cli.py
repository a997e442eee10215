from __future__ import annotations

import re
import subprocess
import sys

import pytest

from shared_accounts.auth import passwords
from shared_accounts.config import MICRO
from shared_accounts.users import roster
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
