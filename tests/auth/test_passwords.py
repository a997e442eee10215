from __future__ import annotations

import subprocess
import sys
import textwrap

import bcrypt
import pytest

from shared_accounts.auth import passwords
from shared_accounts.errors import TooManyRequests, Unprocessable

pytestmark = pytest.mark.usefixtures("real_passwords")

LONG = "0123456789" * 20
CHINESE = "正确的马电池订书钉" * 3 + "共享账"


@pytest.mark.parametrize("password", [LONG, CHINESE, " leading and trailing ", "nul\x00inside"])
def test_a_password_is_compared_exactly_as_it_was_sent(password):
    stored = passwords.hash_password(password)

    assert passwords.verify(password, stored)
    assert not passwords.verify(password[:-1] + "!", stored)


@pytest.mark.parametrize("password", [LONG, CHINESE])
def test_the_first_72_bytes_are_not_enough(password):
    stored = passwords.hash_password(password)

    assert not passwords.verify(password.encode()[:72].decode(), stored)


def test_a_hash_names_its_scheme_and_its_cost():
    stored = passwords.hash_password("correct horse")

    assert stored.startswith("$bcrypt-sha256$v=1$2b$12$")
    assert not passwords.needs_rehash(stored)


def test_two_hashes_of_one_password_differ():
    assert passwords.hash_password("correct horse") != passwords.hash_password("correct horse")


def test_a_leaked_sha_256_of_a_password_does_not_stand_in_for_it():
    stored = passwords.hash_password("correct horse")
    bare = stored.removeprefix("$bcrypt-sha256$v=1").encode()

    assert not bcrypt.checkpw(b"correct horse", bare)


def test_a_hash_of_another_cost_wants_to_be_made_again():
    assert passwords.needs_rehash("$bcrypt-sha256$v=1$2b$10$" + "x" * 53)


@pytest.mark.parametrize("stored", [None, "", "sso", "$2b$12$" + "x" * 53])
def test_without_a_hash_of_ours_no_password_fits(stored):
    assert not passwords.verify("nobody", stored)


def test_having_no_password_is_as_much_work_as_having_one(hashing):
    for stored in (passwords.hash_password("correct horse"), None, "sso"):
        passwords.verify("wrong", stored)

    assert hashing == [(44, b"$2b$12$", 60)] * 3


@pytest.mark.parametrize("work", [passwords.hash_password, lambda p: passwords.verify(p, None)])
def test_a_password_over_1024_bytes_is_refused_before_any_work(work):
    with pytest.raises(Unprocessable) as refusal:
        work("密" * 400)

    assert refusal.value.field == "password"


@pytest.mark.parametrize("password", ["", "1234567", "password", "PASSWORD", "12345678", "Alice-in-Wonderland"])
def test_a_new_password_that_anybody_would_try_is_refused(password):
    with pytest.raises(Unprocessable) as refusal:
        passwords.refuse_weak(password, username="alice-in-wonderland")

    assert refusal.value.field == "password"
    assert password == "password" or not password or password not in refusal.value.message


@pytest.mark.parametrize("password", ["aaaaaaab", "八个汉字的密码吧", "no digits no capitals", LONG])
def test_a_new_password_of_any_characters_will_do(password):
    passwords.refuse_weak(password, username="alice")


def test_when_too_many_wait_for_a_hash_the_next_is_told_to_come_back():
    taken = 0
    try:
        while passwords._waiting.acquire(blocking=False):  # noqa: SLF001
            taken += 1

        with pytest.raises(TooManyRequests) as refusal:
            passwords.verify("wrong", None)
    finally:
        passwords._waiting.release(taken)  # noqa: SLF001

    assert refusal.value.retry_after
    assert not passwords.verify("wrong", None)


def test_under_gevent_hashing_stops_nobody_else():
    program = """
        from gevent import monkey; monkey.patch_all()
        import gevent
        from shared_accounts.auth import passwords

        turns = 0
        def take_turns():
            global turns
            while True:
                gevent.sleep(0.005); turns += 1

        gevent.spawn(take_turns)
        guesses = [gevent.spawn(passwords.verify, "wrong", None) for _ in range(6)]
        gevent.joinall(guesses, raise_error=True)
        print(turns, *(guess.value for guess in guesses))
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=50
    )

    turns, *outcomes = done.stdout.split()
    assert int(turns) > 12  # on the loop itself somebody else would have a turn between two hashes, and no more
    assert outcomes == ["False"] * 6


def test_a_process_may_end_while_passwords_are_being_hashed():
    program = """
        from gevent import monkey; monkey.patch_all()
        import gevent
        from shared_accounts.auth import passwords

        gevent.spawn(passwords.verify, "wrong", None)
        gevent.sleep(0.05)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=False, timeout=50
    )

    assert (done.returncode, done.stderr) == (0, b"")
