from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy.exc import IntegrityError

from shared_accounts.errors import Conflict, NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.users import roster
from tests import factories
from tests.conftest import rows


def test_a_registered_user_is_active_and_ordinary(session):
    user = roster.register("Alice")

    assert (user.username, user.role, user.state, user.password_hash) == ("Alice", "user", "active", None)


def test_registering_leaves_the_commit_to_the_door(session):
    roster.register("Alice")

    session.rollback()

    assert roster.find_by_username("Alice") is None


@pytest.mark.parametrize(
    "name", ["", "ab", "  ab  ", "x" * 51, "a\x00b", "a\nbc", "ali\u200bce", "ali\u202ece", "\ud800abc"]
)
def test_a_name_that_is_short_long_or_partly_invisible_is_refused(session, name):
    with pytest.raises(Unprocessable) as refusal:
        roster.register(name)

    assert refusal.value.field == "username"


@pytest.mark.parametrize("name", ["abc", "x" * 50, "李小龙", "o'brien-2", "it works"])
def test_any_other_name_will_do(session, name):
    assert roster.find_by_username(roster.register(name).username).username == name


def test_a_name_is_stripped_and_composed(session):
    assert roster.register(" Zoe\u0308 ").username == "Zo\u00eb"


def test_a_name_taken_in_another_spelling_of_case_is_a_conflict_and_the_transaction_goes_on(session):
    roster.register("Alice")

    with pytest.raises(Conflict) as refusal:
        roster.register("aLICE")
    roster.register("Bob")
    session.commit()

    assert refusal.value.field == "username"
    assert [user.username for user in roster.all()] == ["Alice", "Bob"]


def test_only_a_taken_name_is_called_a_conflict(session):
    with pytest.raises(IntegrityError):
        roster.register("Alice", role="emperor")


def test_of_many_registering_one_name_at_once_one_succeeds(app, committed):
    together = Barrier(8)

    def register(_: int) -> bool:
        with app.app_context():
            together.wait()
            try:
                roster.register("Alice")
            except Conflict:
                return False
            db.session.commit()
            return True

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(register, range(8)))

    assert outcomes.count(True) == 1
    assert len(rows("users")) == 1


def test_a_user_is_found_by_id_and_by_name_in_any_case(session):
    user = factories.user(username="Alice")

    assert roster.get(user.id) is user
    assert roster.find_by_username(" alice ") is user


def test_nobody_is_found_under_an_unknown_id_or_name(session):
    with pytest.raises(NotFound):
        roster.get(1)
    assert roster.find_by_username("nobody") is None
    assert roster.find_by_username("no\x00body") is None


def test_nobody_is_there_by_default(client, settings):
    assert rows("users") == []
    assert (settings.admin_username, settings.admin_password) == ("", "")
    for name, password in (("admin", "admin"), ("admin", "password"), ("root", "changeme")):
        assert client.post("/api/auth/login", json={"username": name, "password": password}).status_code == 401


def test_a_name_from_elsewhere_is_kept_or_gets_a_number(session):
    names = [roster.register_like(wanted, how="sso:x").username for wanted in ("Alice", "alice", "ALICE", "Bob")]

    assert names == ["Alice", "alice-2", "ALICE-3", "Bob"]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("", "___"),
        ("x", "x__"),
        ("a\u200bb\u202ec\n", "abc"),
        ("y" * 80, "y" * 50),
        ("  spaced  out  ", "spaced  out"),
        ("\u5f20\u4e09\u4e30", "\u5f20\u4e09\u4e30"),
    ],
)
def test_a_name_from_elsewhere_is_made_to_fit(session, wanted, name):
    assert roster.register_like(wanted, how="sso:x").username == name


def test_a_long_name_leaves_room_for_its_number(session):
    roster.register("z" * 50)

    assert roster.register_like("z" * 70, how="sso:x").username == "z" * 48 + "-2"


def test_when_very_many_have_the_name_chance_decides(session):
    for _ in range(32):
        roster.register_like("crowd", how="sso:x")

    assert len({row["username"] for row in rows("users")}) == 32
