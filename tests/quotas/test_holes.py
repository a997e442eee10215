"""Holes of the system this one follows (contract B.9, pool integrity), each shown to be closed here."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from shared_accounts import tasks
from shared_accounts.accounts import contribution, standing
from shared_accounts.config import MICRO
from shared_accounts.errors import NotFound
from shared_accounts.extensions import db
from shared_accounts.gateway import books
from shared_accounts.quotas import proof
from shared_accounts.users.models import User
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import caller_for, change, contributed, open_line, opening, pool_of, spend, withdraw


@pytest.fixture
def owner(session):
    return factories.user()


def figures(user, group="m"):
    pool = pool_of(user, group)
    return pool.capacity, pool.refill_per_hour, pool.balance, pool.owed


def pause_and_resume(account):
    return change(change(account, paused=True), paused=False)


def share_no_more_and_again(account):
    return change(change(account, sharing="dedicated"), sharing="shared")


def serve_something_else_for_a_while(account):
    return change(change(account, models=["other"]), models=["m"])


def claim_little_and_much(account):
    return change(change(account, allowance_tokens=1), allowance_tokens=1_000_000)


def withdraw_and_bring_again(account):
    withdraw(account)
    return contributed(db.session.get(User, account.owner_id))


TOGGLES = [
    pause_and_resume,
    share_no_more_and_again,
    serve_something_else_for_a_while,
    claim_little_and_much,
    withdraw_and_bring_again,
]


@pytest.mark.parametrize("toggle", TOGGLES, ids=lambda toggle: toggle.__name__)
@pytest.mark.parametrize("spent", [2 * MICRO, 500_000])
def test_hole_7_toggling_refills_no_pool_and_forgives_no_debt(owner, toggle, spent):
    account = contributed(owner)
    spend(owner, spent)
    before = figures(owner)

    for _ in range(5):
        account = toggle(account)
        assert figures(owner) == before

    withdraw(account)
    assert figures(owner) == (0, 0, 0, spent)
    assert proof.verify() == []


@pytest.mark.parametrize("state", ["needs_sign_in", "broken"])
def test_hole_8_an_account_taken_out_and_brought_back_by_hand_inflates_nothing(owner, state):
    account = contributed(owner)
    spend(owner, MICRO)

    for _ in range(5):
        assert standing.take_out(account.id, state, "it failed")
        change(account, paused=False)

    assert figures(owner) == (2 * MICRO, 400_000, MICRO, 0)
    assert proof.verify() == []


def to_dedicated(account):
    change(account, sharing="dedicated")


def by_parts(account):
    change(account, sharing="dedicated")
    withdraw(account)


@pytest.mark.parametrize("state", ["needs_sign_in", "broken", "paused", "disabled"])
@pytest.mark.parametrize("leave", [withdraw, to_dedicated, by_parts])
def test_hole_9_an_account_out_of_service_is_taken_back_once(owner, state, leave):
    contributed(owner, "one")
    other = contributed(owner, "other")
    if state == "disabled":
        assert standing.disable(other.id, "abuse", actor_id=1)
    else:
        assert standing.take_out(other.id, state, "it failed")

    leave(other)

    assert figures(owner) == (2 * MICRO, 400_000, 2 * MICRO, 0)
    if leave is not to_dedicated:
        with pytest.raises(NotFound):
            contribution.mine(owner.id, other.id)
    assert proof.verify() == []


def window(account, used):
    """Let so much of the account's window be used, whatever it was before."""
    db.session.execute(
        text("""insert into account_windows values (:id, 'm', :used, now() + interval '1 hour')
        on conflict (account_id, model_group) do update set used = excluded.used"""),
        {"id": account.id, "used": used},
    )
    db.session.commit()


@pytest.mark.parametrize(("at_first", "later"), [(0, MICRO), (MICRO, 0)])
def test_hole_10_no_timing_around_a_reset_earns_anything(owner, at_first, later):
    contributed(owner, "one")
    timed = contributed(owner, "timed", sharing="dedicated")
    before = figures(owner)

    for _ in range(3):
        window(timed, at_first)
        change(timed, sharing="shared")
        assert figures(owner) > before
        window(timed, later)
        change(timed, sharing="dedicated")

        assert figures(owner) == before
    assert proof.verify() == []


def test_hole_12_a_model_that_is_new_gives_an_old_contributor_a_pool(owner):
    account = contributed(owner)

    change(account, models=["m", "new"])

    assert figures(owner) == figures(owner, "new") == (2 * MICRO, 400_000, 2 * MICRO, 0)


def test_hole_13_what_is_asked_is_what_is_debited(committed):
    account = contributed(factories.user(), models=["m", "n"])
    user = factories.user()
    factories.quota_pool(user, balance=0, model_group="m")
    factories.quota_pool(user, balance=MICRO, model_group="n")
    caller = caller_for(user)
    on_n = opening(caller, 400_000, "n")

    assert open_line(opening(caller, 1, "m"), account.id) == "short"
    assert open_line(on_n, account.id) == books.OPEN
    assert books.close_line(on_n.id, books.Closing("served", "measured", cost=300_000))

    assert (pool_of(user, "m").balance, pool_of(user, "n").balance) == (0, 700_000)
    assert proof.verify() == []


def test_hole_14_every_pool_gets_every_hour_once_by_our_own_clock(committed):
    unlike = [{}, {"trust_level": 0}, {"trust_level": 4}, {"state": "silenced"}, {"role": "admin"}]
    users = [factories.user(**fields) for fields in unlike]
    for user in users:
        factories.quota_pool(user, balance=0, refill_per_hour=400_000)
    committed.execute(text("update quota_pools set refilled_through = refilled_through - interval '5 hours'"))
    committed.commit()

    for _ in range(3):
        tasks.refill_quotas()

    assert {pool_of(user).balance for user in users} == {2 * MICRO}
    assert len(rows("ledger_entries")) == len(users)
    assert tasks.refill_quotas.name in {entry["task"] for entry in tasks.TIMETABLE.values()}
