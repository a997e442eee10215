"""What is shown before a change of one's accounts is what the change does."""

from __future__ import annotations

import dataclasses
import random
import re
from contextlib import contextmanager

import pytest
from flask import current_app
from sqlalchemy import func, text

from shared_accounts.accounts import contribution, effects, standing, withdrawal
from shared_accounts.accounts.models import Account, AccountWindow
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger, rule_changes
from shared_accounts.quotas.pricing import STANDARD
from shared_accounts.quotas.refill import refill, refilled
from tests import factories
from tests.quotas.sharing import UPSTREAM, contributed, pool_of, spend, withdraw


@pytest.fixture
def alice(session):
    """Somebody with two shared accounts, of which the first serves two models, and a dedicated one."""
    user = factories.user()
    user.first = contributed(user, "sk-1", models=["a", "b"]).id
    user.second = contributed(user, "sk-2", models=["b"], allowance_tokens=700_001).id
    user.own = contributed(user, "sk-3", models=["b", "c"], sharing="dedicated").id
    return user


def run(statement, **values):
    db.session.execute(text(statement), values)


def window(alice, used, *, hours=2, exhausted=False):
    for account_id in (alice.first, alice.own):
        ends = func.now() + func.make_interval(0, 0, 0, 0, hours)
        until = ends if exhausted else None
        db.session.merge(
            AccountWindow(account_id=account_id, model_group="b", used=used, resets_at=ends, exhausted_until=until)
        )
    db.session.flush()


def owe(alice):
    third = contributed(alice, "sk-4", models=["a", "b"])
    for group in "ab":
        spend(alice, pool_of(alice, group).balance - 300_000, group)
    withdraw(third)


STATES = {
    "as it was": lambda _: None,
    "spent": lambda alice: spend(alice, 1_300_001, "b"),
    "reserved": lambda _: run("update quota_pools set reserved = least(balance, 900000)"),
    "empty": lambda _: run("update quota_pools set balance = reserved"),
    "above its capacity": lambda _: run("update quota_pools set balance = balance + 7000000"),
    "hours are due": lambda _: run("update quota_pools set refilled_through = refilled_through - interval '3 h'"),
    "the clock went back": lambda _: run("update quota_pools set refilled_through = refilled_through + '2 h'"),
    "in debt": owe,
    "a window is half used": lambda alice: window(alice, 500_000),
    "a window is exhausted": lambda alice: window(alice, 0, exhausted=True),
    "a window is over": lambda alice: window(alice, 500_000, hours=-1),
    "out of service": lambda alice: standing.take_out(alice.first, "paused", "paused by its owner"),
    "worth more": lambda _: run("update accounts set max_worth = 3000000, allowance_tokens = 2500000"),
    "the rules have changed": lambda _: rule_changes.lay_down("b", group="g", weights=STANDARD, reference=900_000),
}
CHANGES = {
    "keep it": ("first", {"sharing": "dedicated"}),
    "share it": ("own", {"sharing": "shared"}),
    "serve others": ("first", {"models": ["b", "d"]}),
    "serve fewer": ("first", {"models": ["a"]}),
    "hold less": ("first", {"allowance_tokens": 400_000}),
    "rename it": ("first", {"name": "Another", "models": ["a", "b"]}),
}


@contextmanager
def undone():
    with db.session.begin_nested() as savepoint:
        yield
        savepoint.rollback()
    db.session.expire_all()


def settings():
    return current_app.extensions["settings"]


def brought():
    return contribution.Offer(
        name="New", base_url=UPSTREAM, target=current_app.extensions["guard"].parse(UPSTREAM), credential="sk-5" * 8,
        sharing="shared", models=["c", "b"], allowance_tokens=1_000_000, window_hours=5, max_concurrency=None,
    )  # fmt: skip


def deeds(alice):
    """Each deed with what is shown before it."""
    for name, (whose, changes) in CHANGES.items():
        account = db.session.get(Account, getattr(alice, whose))
        yield (
            name,
            effects.of_changing(account, changes, settings()),
            lambda account=account, changes=changes: contribution.change(account, changes, settings()),
        )
    first = db.session.get(Account, alice.first)
    yield "withdraw it", effects.of_withdrawing(first), lambda: withdrawal.withdraw(first)
    vault = current_app.extensions["vault"]
    yield (
        "bring another",
        effects.of_contributing(alice.id, [brought().bearing], settings()),
        lambda: contribution.contribute(alice.id, brought(), vault=vault, settings=settings()),
    )


def told(figures):
    return {name: value for name, value in dataclasses.asdict(figures).items() if name != "refilled_through"}


def assert_they_agree(alice):
    _, before = refilled(alice.id)
    for name, shown, deed in deeds(alice):
        with undone():
            deed()
            refill()
            after = {pool.model_group: told(ledger.figures(pool)) for pool in ledger.pools_of(alice.id)}
        expected = {group: told(figures) for group, figures in before.items()}
        assert {one.group: told(one.before) for one in shown if one.group in before}.items() <= expected.items(), name
        assert expected | {one.group: told(one.after) for one in shown} == after, name


@pytest.mark.parametrize("state", STATES)
def test_what_is_shown_is_what_is_done(alice, state):
    STATES[state](alice)

    assert_they_agree(alice)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_shown_is_what_is_done_when_much_has_happened(alice, seed):
    for state in random.Random(seed).sample(list(STATES), 4):
        STATES[state](alice)

    assert_they_agree(alice)


def test_a_look_writes_nothing_and_locks_nothing(alice, count_queries):
    run("update quota_pools set refilled_through = refilled_through - interval '3 h', balance = 5")

    with count_queries() as queries:
        for _ in deeds(alice):
            pass

    assert queries
    assert not re.search(r"insert|update|delete|savepoint", " ".join(queries), re.IGNORECASE)


def test_what_it_owes_and_when_it_is_full_again_stand_beside_it(alice):
    spend(alice, 1_500_000, "a")
    account = db.session.get(Account, alice.first)

    shown = {one.group: one for one in effects.of_withdrawing(account)}["a"]

    assert (shown.before.balance, shown.after.balance, shown.owed) == (500_000, 0, 1_500_000)
    assert shown.full_at[0] is not None
    assert shown.full_at[1] is None
    assert shown.after.capacity == 0 < 2 * MICRO == shown.before.capacity
