"""What accounts earn follows the rules for models, and whoever changes rules mints nothing."""

from __future__ import annotations

import random

import pytest
from flask import current_app
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from shared_accounts import live_settings, tasks
from shared_accounts.accounts import contribution, earnings, standing
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import ledger, proof, rule_changes
from shared_accounts.quotas.pricing import STANDARD
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import caller_for, contributed, open_line, opening, pool_of, spend, withdraw
from tests.quotas.sharing import change as patch
from tests.together import at_once


def lay_down(model, group=None, reference=None, weights=STANDARD):
    rule_changes.lay_down(model, group=group, weights=weights, reference=reference)
    db.session.commit()


def pools(user):
    db.session.expire_all()
    return {one.model_group: (one.balance, one.capacity, one.owed) for one in ledger.pools_of(user.id)}


def credits_by_account():
    return {(row["account_id"], row["model_group"]): row["capacity"] for row in rows("credits")}


@pytest.fixture
def alice(session):
    """Somebody who shares one standard account for two models."""
    user = factories.user()
    user.account = contributed(user, models=["a", "b"])
    return user


def test_models_that_come_to_share_a_group_earn_one_credit_in_its_pool(alice):
    lay_down("a", group="g")
    lay_down("b", group="g")

    tasks.regroup_accounts()

    assert pools(alice) == {"a": (0, 0, 0), "b": (0, 0, 0), "g": (2 * MICRO, 2 * MICRO, 0)}
    assert credits_by_account() == {(alice.account.id, "g"): 2 * MICRO}
    assert proof.verify() == []


def test_what_a_new_account_earns_is_reckoned_by_its_groups_references(session):
    lay_down("a", group="g", reference=2_000_000)
    lay_down("b", reference=500_000)
    user = factories.user()

    contributed(user, models=["a", "b", "c"])

    assert pools(user) == {
        "g": (MICRO, MICRO, 0),
        "b": (2 * MICRO, 2 * MICRO, 0),  # no account is worth more than a standard one
        "c": (2 * MICRO, 2 * MICRO, 0),
    }


def test_a_groups_new_reference_changes_what_its_accounts_are_worth(alice):
    lay_down("a", reference=4_000_000)

    tasks.regroup_accounts()

    assert pools(alice) == {"a": (500_000, 500_000, 0), "b": (2 * MICRO, 2 * MICRO, 0)}
    assert pool_of(alice, "a").refill_per_hour == 100_000
    assert proof.verify() == []


def test_what_was_spent_from_the_old_pool_stays_owed_there_as_after_a_withdrawal(alice):
    spend(alice, 1_500_000, "a")
    lay_down("a", group="g")

    tasks.regroup_accounts()

    assert pools(alice)["a"] == (0, 0, 1_500_000)
    assert pools(alice)["g"] == (2 * MICRO, 2 * MICRO, 0)
    lay_down("a")
    tasks.regroup_accounts()
    assert pools(alice)["a"] == (500_000, 2 * MICRO, 0)
    assert pools(alice)["g"] == (0, 0, 0)
    assert proof.verify() == []


def test_what_is_reserved_stays_where_it_is_and_is_owed(committed):
    alice, bob = factories.user(), factories.user()
    contributed(alice, models=["m"])
    his = contributed(bob, "sk-of-his", models=["m"])
    line = opening(caller_for(alice), 800_000)
    assert open_line(line, his.id) == "open"
    lay_down("m", group="g")

    tasks.regroup_accounts()

    assert pools(alice) == {"m": (800_000, 0, 800_000), "g": (2 * MICRO, 2 * MICRO, 0)}
    assert proof.verify() == []


def test_an_account_out_of_service_rests_in_its_new_pool_too(alice):
    standing.take_out(alice.account.id, "needs_sign_in", "a test")
    db.session.commit()
    lay_down("a", group="g")

    tasks.regroup_accounts()

    assert (pool_of(alice, "g").capacity, pool_of(alice, "g").refill_per_hour) == (2 * MICRO, 0)
    standing.bring_back(alice.account.id, "needs_sign_in")
    db.session.commit()
    assert pool_of(alice, "g").refill_per_hour == 400_000
    assert proof.verify() == []


def test_a_name_that_becomes_an_alias_earns_nothing(alice):
    rule_changes.make_alias("b", "a")
    db.session.commit()

    tasks.regroup_accounts()

    assert pools(alice) == {"a": (2 * MICRO, 2 * MICRO, 0), "b": (0, 0, 0)}


def test_only_what_is_outdated_is_touched_and_once_is_enough(alice, session):
    bob = factories.user()
    contributed(bob, "sk-of-his", models=["c"])
    lay_down("a", group="g")
    before = rows("ledger_entries")

    tasks.regroup_accounts()
    after = rows("ledger_entries")
    tasks.regroup_accounts()

    assert rows("ledger_entries") == after
    touched = {row["pool_id"] for row in after if row not in before}
    assert touched == {pool_of(alice, group).id for group in ("a", "b", "g")}


def test_weights_alone_change_nothing_that_is_earned(alice):
    before = rows("ledger_entries")
    lay_down("a", weights=(9000, 9000, 9000))

    tasks.regroup_accounts()

    assert rows("ledger_entries") == before


def test_what_serves_its_owner_alone_or_is_withdrawn_earns_nothing_under_any_rule(alice):
    withdraw(alice.account)
    contributed(alice, "sk-dedicated", models=["a"], sharing="dedicated")
    lay_down("a", group="g")

    tasks.regroup_accounts()

    assert rows("credits") == []
    assert set(pools(alice)) == {"a", "b"}


def test_an_account_that_drains_keeps_its_credit_until_its_last_exchange_has_ended(committed):
    alice, bob = factories.user(), factories.user()
    account = contributed(alice, models=["m"])
    contributed(bob, "sk-of-his", models=["m"])
    assert open_line(opening(caller_for(bob), 1000), account.id) == "open"
    withdraw(account)
    lay_down("m", group="g")

    tasks.regroup_accounts()

    assert (account.id, "m") in credits_by_account()
    assert set(pools(bob)) == {"m", "g"}


def test_settings_an_admin_changed_are_followed_too(alice):
    live_settings.change({"quota_capacity_per_account": "3"})
    db.session.commit()

    tasks.regroup_accounts()

    assert pools(alice) == {"a": (3 * MICRO, 3 * MICRO, 0), "b": (3 * MICRO, 3 * MICRO, 0)}


# -- nothing is minted


MODELS, GROUPS = ("a", "b", "c"), (None, "g", "h", "a")
a_rule = st.tuples(
    st.just("rule"), st.sampled_from(MODELS), st.sampled_from(GROUPS), st.sampled_from([None, 500_000, 3_000_000])
)
an_alias = st.tuples(st.just("alias"), st.sampled_from(MODELS), st.sampled_from(MODELS))
a_spend = st.tuples(st.just("spend"), st.integers(0, 9), st.sampled_from([1, 333_333, MICRO, 2 * MICRO]))


def obey(step):
    what, *terms = step
    db.session.execute(text("savepoint step"))
    try:
        if what == "rule":
            rule_changes.lay_down(terms[0], group=terms[1], weights=STANDARD, reference=terms[2])
        elif what == "alias":
            rule_changes.make_alias(*terms)
        else:
            rule_changes.lift(terms[0])
    except Exception as error:  # noqa: BLE001 - a refusal changes nothing
        assert getattr(error, "status", None) in {404, 422}
        db.session.execute(text("rollback to savepoint step"))


def follow():
    in_force = current_app.extensions["settings"]
    for account_id in earnings.outdated(in_force):
        assert earnings.bring_up_to_date(account_id, in_force)
    assert earnings.outdated(in_force) == []
    assert proof.verify() == []


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    first=st.lists(a_rule | an_alias, max_size=3),
    spent=st.lists(a_spend, max_size=4),
    there=st.lists(a_rule | an_alias | st.tuples(st.just("lift"), st.sampled_from(MODELS)) | a_spend, max_size=6),
    sharing=st.lists(st.sampled_from(MODELS), min_size=1, unique=True),
)
@pytest.mark.timeout(240)
def test_rules_changed_there_and_back_leave_nobody_with_more(session, first, spent, there, sharing):
    for table in ("model_rules", "credits", "ledger_entries", "quota_pools"):
        db.session.execute(text(f"delete from {table}"))
    db.session.execute(text("update accounts set sharing = 'dedicated'"))
    user = factories.user()
    for number, allowance in enumerate((1_000_000, 700_001)):
        contributed(user, f"sk-{user.id}-{number}", models=sharing, allowance_tokens=allowance)
    for step in first:
        obey(step)
    follow()
    for step in spent:
        take(user, *step[1:])
    laid_down, before = rows("model_rules"), pools(user)

    gone = dict.fromkeys(before, 0)
    for step in there:
        if step[0] == "spend":
            group, amount = take(user, *step[1:])
            gone[group] = gone.get(group, 0) + amount
        else:
            obey(step)
            follow()
    back_to(laid_down)
    follow()

    after = pools(user)
    for group, (balance, capacity, owed) in after.items():
        had, held, owing = before.get(group, (0, 0, 0))
        assert capacity == held
        assert balance - owed + gone.get(group, 0) <= had - owing
        assert balance <= had


def take(user, n, amount):
    """Spend from one of her pools, as far as it goes."""
    found = ledger.pools_of(user.id)
    group = found[n % len(found)].model_group
    amount = min(amount, pool_of(user, group).balance)
    if amount:
        spend(user, amount, group)
    return group, amount


def back_to(laid_down):
    db.session.execute(text("delete from model_rules"))
    for row in laid_down:
        columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        db.session.execute(text(f"insert into model_rules ({columns}) values ({values})"), row)
    db.session.expire_all()


# -- at once


def test_changes_of_one_owners_accounts_never_wait_for_each_other_in_a_circle(committed, app):
    alice = factories.user()
    accounts = [contributed(alice, f"sk-{number}", models=["a", "b"]) for number in range(2)]

    def moves(account_id, *there):
        def act():
            for models in there * 6:
                mine = contribution.mine(alice_id, account_id)
                contribution.change(mine, {"models": [models]}, current_app.extensions["settings"])
                db.session.commit()

        return act

    alice_id, ids = alice.id, [one.id for one in accounts]
    db.session.rollback()

    at_once(app, moves(ids[0], "a", "b"), moves(ids[1], "b", "a"))

    assert credits_by_account() == {(ids[0], "b"): 2 * MICRO, (ids[1], "a"): 2 * MICRO}
    assert proof.verify() == []


def test_rules_owners_and_sweeps_at_once_leave_every_credit_as_the_rules_say(committed, app):
    owners = [factories.user() for _ in range(3)]
    ids = [contributed(one, f"sk-{n}-{one.id}", models=["a", "b"]).id for one in owners for n in range(2)]
    db.session.rollback()

    def admin():
        chance = random.Random(1)
        for _ in range(12):
            rule_changes.lay_down(
                chance.choice("ab"), group=chance.choice(["g", "h", None]), weights=STANDARD, reference=None
            )
            db.session.commit()
            tasks.regroup_accounts()

    def sweep():
        for _ in range(6):
            tasks.regroup_accounts()

    def owner():
        chance = random.Random(2)
        for _ in range(25):
            account = db.session.get(contribution.Account, chance.choice(ids))
            patch(account, sharing=chance.choice(["shared", "dedicated"]))

    at_once(app, admin, sweep, owner)

    tasks.regroup_accounts()
    assert earnings.outdated(app.extensions["settings"]) == []
    assert proof.verify() == []
