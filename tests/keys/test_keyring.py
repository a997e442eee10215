from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_accounts import crypto
from shared_accounts.errors import InvalidApiKey, NotFound, Unprocessable
from shared_accounts.extensions import db, statements
from shared_accounts.keys import keyring, known
from shared_accounts.keys.models import ApiKey
from shared_accounts.users.models import User
from tests import factories
from tests.conftest import rows
from tests.together import at_once

SAMPLE = keyring._new_secret()  # noqa: SLF001 - a secret without a row


def test_a_secret_is_67_characters_that_a_double_click_selects():
    assert len(SAMPLE) == 67
    assert SAMPLE.startswith("sk-")
    assert SAMPLE[3:].isalnum()
    assert SAMPLE.isascii()


def test_a_secret_leads_to_its_fingerprint_without_a_query():
    # No application context: a query would raise.
    assert keyring.fingerprint_of(SAMPLE) == crypto.fingerprint(SAMPLE)


@given(
    position=st.integers(3, 66), other=st.sampled_from("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
)
def test_any_single_wrong_character_is_noticed_without_a_query(position, other):
    mistyped = SAMPLE[:position] + other + SAMPLE[position + 1 :]

    if mistyped == SAMPLE:
        keyring.fingerprint_of(mistyped)
        return
    with pytest.raises(InvalidApiKey):
        keyring.fingerprint_of(mistyped)


@pytest.mark.parametrize("position", range(3, 66))
def test_two_swapped_characters_are_noticed(position):
    swapped = SAMPLE[:position] + SAMPLE[position + 1] + SAMPLE[position] + SAMPLE[position + 2 :]

    if swapped != SAMPLE:
        with pytest.raises(InvalidApiKey):
            keyring.fingerprint_of(swapped)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "sk-",
        "sk-" + "a" * 64,
        SAMPLE[:-1],
        SAMPLE + "a",
        SAMPLE + "\n",
        " " + SAMPLE,
        SAMPLE.upper(),
        SAMPLE.replace("sk-", "pk-"),
        SAMPLE[:20] + "_" + SAMPLE[21:],
        SAMPLE[:20] + "\u0661" + SAMPLE[21:],
        SAMPLE[:20] + "\x00" + SAMPLE[21:],
        "sk-" + "z" * 100_000,
    ],
    ids=range(13),
)
def test_what_never_was_a_key_is_refused(secret):
    with pytest.raises(InvalidApiKey):
        keyring.fingerprint_of(secret)


def test_two_secrets_share_nothing():
    assert len({keyring._new_secret()[3:8] for _ in range(50)}) == 50  # noqa: SLF001


def test_the_secret_is_nowhere_in_the_database(session):
    key, secret = factories.api_key(factories.user())

    assert secret[8:30] not in str(rows("api_keys"))
    assert key.preview == secret[:8] + "..."
    assert bytes(rows("api_keys")[0]["fingerprint"]) == keyring.fingerprint_of(secret)


def test_a_key_leads_to_its_holder_in_whatever_state_she_is(committed):
    user = factories.user(state="silenced", use_only_dedicated=True)
    key, secret = factories.api_key(user)

    caller = keyring.authenticate(keyring.fingerprint_of(secret))

    assert (caller.user_id, caller.api_key_id, caller.state) == (user.id, key.id, "silenced")
    assert (caller.prefer_shared, caller.use_only_dedicated) == (False, True)
    assert (caller.fingerprint, caller.session_id) == (keyring.fingerprint_of(secret), None)


def test_a_key_that_is_unknown_off_expired_or_deleted_leads_to_nobody(committed):
    user = factories.user()
    off, expired, deleted = (factories.api_key(user)[1] for _ in range(3))
    for key, change in zip(
        committed.scalars(db.select(ApiKey).order_by(ApiKey.id)).all(), ("off", "old", "gone"), strict=True
    ):
        if change == "off":
            keyring.switch(user.id, key.id, on=False)
        elif change == "old":
            key.expires_at = factories.ago(seconds=1)
        else:
            keyring.revoke(user.id, key.id)
    committed.commit()

    for secret in (off, expired, deleted, SAMPLE):
        assert keyring.authenticate(keyring.fingerprint_of(secret)) is None


def test_a_key_switched_on_again_works_again(committed):
    user = factories.user()
    key, secret = factories.api_key(user)

    for on in (False, True):
        keyring.switch(user.id, key.id, on=on)
        committed.commit()
        assert (keyring.authenticate(keyring.fingerprint_of(secret)) is not None) is on


MOST_KEYS = 50
"""What a fresh database allows on every trust level."""


def test_an_authentication_reads_no_table_from_end_to_end(committed):
    user = factories.user()
    for _ in range(MOST_KEYS):
        factories.api_key(user)
    query = known.KNOWN.format(key="$1", session="null")
    with db.engine.begin() as connection:
        connection.exec_driver_sql("set local enable_seqscan = off")
        connection.exec_driver_sql("set local plan_cache_mode = force_generic_plan")
        connection.exec_driver_sql(f"prepare probe (bytea) as {query}")
        plan = "\n".join(connection.exec_driver_sql("explain execute probe ('x')").scalars())
        connection.exec_driver_sql("deallocate probe")

    assert "api_keys_fingerprint_key" in plan
    assert "Seq Scan" not in plan


def test_somebody_elses_key_is_as_unknown_as_none(session):
    key, _ = factories.api_key(factories.user())
    stranger = factories.user()

    for act in (
        lambda: keyring.get(stranger.id, key.id),
        lambda: keyring.switch(stranger.id, key.id, on=False),
        lambda: keyring.revoke(stranger.id, key.id),
        lambda: keyring.revoke(key.user_id, key.id + 1),
    ):
        with pytest.raises(NotFound):
            act()
    assert rows("api_keys")[0]["is_active"]


def test_a_user_has_as_many_keys_as_her_trust_level_allows(session):
    user = factories.user()
    for _ in range(MOST_KEYS):
        keyring.issue(user.id, "one more", None)

    with pytest.raises(Unprocessable):
        keyring.issue(user.id, "one too many", None)
    keyring.issue(factories.user().id, "somebody else's", None)


def test_keys_asked_for_at_once_do_not_pass_the_limit(app, committed):
    user_id = factories.user().id
    for _ in range(MOST_KEYS - 2):
        keyring.issue(user_id, "one more", None)
    committed.commit()
    together = Barrier(6)

    def issue(_: int) -> bool:
        with app.app_context():
            together.wait()
            try:
                keyring.issue(user_id, "race", None)
            except Unprocessable:
                return False
            db.session.commit()
            return True

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(issue, range(6))).count(True) == 2
    assert len(rows("api_keys")) == MOST_KEYS


def test_pages_are_newest_first_and_count_only_ones_own(session):
    user = factories.user()
    names = [factories.api_key(user, name=f"key {n}")[0].name for n in range(5)]
    factories.api_key(factories.user())

    first, total = keyring.mine(user.id, 1, 2)
    last, _ = keyring.mine(user.id, 3, 2)

    assert total == 5
    assert [key.name for key in first + last] == [names[4], names[3], names[0]]


def test_deleting_a_user_deletes_her_keys(session):
    key, _ = factories.api_key(factories.user())

    session.delete(session.get(User, key.user_id))
    session.commit()

    assert rows("api_keys") == []


def test_both_ways_in_are_prepared_on_every_connection(committed):
    assert statements.rows("callers_by_keys", [b"x"]) == []


def test_many_who_come_at_once_are_each_recognised_as_herself(app, committed):
    users = [factories.user() for _ in range(8)]
    secrets = [factories.api_key(user)[1] for user in users]
    factories.account(users[0], sharing="dedicated")
    factories.account(users[1], sharing="shared")
    fingerprints = [keyring.fingerprint_of(secret) for secret in secrets]
    unknown = crypto.fingerprint("nobody's")

    found = at_once(app, *(partial(keyring.authenticate, one) for one in (*fingerprints, unknown)))

    assert [one.user_id for one in found[:-1]] == [user.id for user in users]
    assert [one.has_accounts for one in found[:-1]] == [True] * 2 + [False] * 6
    assert found[-1] is None
