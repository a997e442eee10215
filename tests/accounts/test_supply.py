"""`account_models` says at every moment what `accounts` says: who serves which model, and where on its ring."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import flask_migrate
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.errors import DeadlockDetected
from sqlalchemy import text

from shared_accounts import create_app
from shared_accounts.accounts import contribution, standing, withdrawal
from shared_accounts.config import load
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows

MIGRATIONS = str(Path(__file__).parents[2] / "migrations")
STATES = ("active", "needs_sign_in", "broken", "paused", "disabled", "draining", "withdrawn")
MODELS = (["m"], ["n"], ["m", "n"], ["n", "m", "o"], ["m", "m"], [])
DIFFERENCE = """
with said as (
    select distinct id, model, owner_id, sharing = 'shared' as shared from accounts, unnest(models) as model
    where state = 'active'),
placed as (select account_id, model, owner_id, shared from account_models)
select count(*) from ((table said except table placed) union all (table placed except table said)) different"""


def said():
    """What `accounts` says, reckoned here."""
    return {
        (row["id"], model): (row["owner_id"], row["sharing"] == "shared")
        for row in rows("accounts")
        for model in row["models"]
        if row["state"] == "active"
    }


def placed():
    """What `account_models` says."""
    return {(row["account_id"], row["model"]): (row["owner_id"], row["shared"]) for row in rows("account_models")}


accounts, people = st.integers(0, 4), st.integers(0, 1)
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("bring"), people, st.sampled_from(["shared", "dedicated"]), st.sampled_from(MODELS)),
        st.tuples(st.just("set"), accounts, st.just("state"), st.sampled_from(STATES)),
        st.tuples(st.just("set"), accounts, st.just("models"), st.sampled_from(MODELS)),
        st.tuples(st.just("set"), accounts, st.just("sharing"), st.sampled_from(["shared", "dedicated"])),
        st.tuples(st.just("set_all"), st.just("state"), st.sampled_from(["active", "paused"])),
        st.tuples(st.just("set_all"), st.just("models"), st.sampled_from(MODELS)),
        st.tuples(st.just("hand_over"), accounts, people),
        st.tuples(st.just("delete"), accounts),
    ),
    max_size=25,
)


class Happenings:
    """What may befall accounts, by whichever statement."""

    def __init__(self):
        self.people = [factories.user().id for _ in range(2)]

    def bring(self, owner, sharing, models):
        factories.account(db.session.get(factories.User, self.people[owner]), sharing=sharing, models=models)

    def set(self, account, column, value):
        where = "id = (select id from accounts order by id offset :place limit 1)"
        self.run(f"update accounts set {self.assigned(column)} where {where}", place=account, value=value)

    def set_all(self, column, value):
        self.run(f"update accounts set {self.assigned(column)}", value=value)

    def hand_over(self, account, owner):
        where = "id = (select id from accounts order by id offset :place limit 1)"
        self.run(f"update accounts set owner_id = :owner where {where}", place=account, owner=self.people[owner])

    def delete(self, account):
        where = "id = (select id from accounts order by id offset :place limit 1)"
        self.run(f"delete from accounts where {where}", place=account)

    @staticmethod
    def assigned(column):
        if column != "state":
            return f"{column} = :value"
        # A withdrawn account has no credential, and each of the others has one.
        return "state = :value, sealed_credential = case when :value <> 'withdrawn' then '\\x00'::bytea end"

    @staticmethod
    def run(statement, **values):
        db.session.execute(text(statement), values)
        db.session.commit()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(HAPPENINGS)
def test_whatever_happens_to_accounts_the_ring_follows(session, happenings):
    world = Happenings()
    for what, *details in happenings:
        getattr(world, what)(*details)

        assert placed() == said()

    db.session.execute(text("delete from accounts"))
    assert placed() == {}


def test_what_the_application_itself_does_to_an_account_the_ring_follows(session, app):
    config = app.extensions["settings"]
    account = factories.account(factories.user(), models=["m", "n"])
    served = {(account.id, "m"): (account.owner_id, True), (account.id, "n"): (account.owner_id, True)}
    assert placed() == served

    standing.take_out(account.id, "needs_sign_in", "test")
    assert placed() == {}
    standing.bring_back(account.id, "needs_sign_in")
    assert placed() == served
    contribution.change(account, {"models": ["n"], "sharing": "dedicated"}, config)
    db.session.flush()
    assert placed() == {(account.id, "n"): (account.owner_id, False)}
    withdrawal.withdraw(account)
    assert placed() == {}


def test_what_is_rolled_back_leaves_the_ring_as_it_was(session):
    account = factories.account(factories.user())
    before = placed()

    with db.session.begin_nested() as savepoint:
        db.session.execute(text("update accounts set state = 'paused'"))
        assert placed() == {}
        savepoint.rollback()

    assert placed() == before == {(account.id, "m"): (account.owner_id, True)}


def versions():
    return [tuple(row) for row in db.session.execute(text("select xmin::text, account_id, lot from account_models"))]


def test_a_pause_after_a_refusal_does_not_touch_the_ring(committed):
    account = factories.account(factories.user())
    before = versions()
    db.session.rollback()

    standing.strike(account.id, default=1, reason="test")
    standing.cool(account.id, seconds=60, default=1, reason="test")
    standing.clear(account.id)

    assert versions() == before


def test_a_lot_is_the_accounts_for_good_and_neighbours_lie_far_apart(session):
    owner = factories.user()
    made = [factories.account(owner, models=["m", "n"]) for _ in range(40)]
    lots = {row["account_id"]: row["lot"] for row in rows("account_models")}

    db.session.execute(text("update accounts set state = 'paused', models = '{o}'"))
    db.session.execute(text("update accounts set state = 'active'"))

    assert {row["account_id"]: row["lot"] for row in rows("account_models")} == lots
    assert all(0 <= lot < 2**32 for lot in lots.values())
    ring = sorted(lots.values())
    gaps = [after - before for before, after in zip(ring, [*ring[1:], ring[0] + 2**32], strict=True)]
    assert len(ring) == len(made)
    assert max(gaps) < 4 * 2**32 / len(made)


def test_those_who_change_the_same_accounts_at_the_same_time_leave_the_ring_right(committed, settings):
    owner = factories.user()
    ids = [factories.account(owner).id for _ in range(5)]
    done, differences, wrong = threading.Event(), [], []

    def look():
        with connected(settings) as connection:
            while not done.is_set():
                differences.append(asked(connection, DIFFERENCE))

    def change(seed):
        chance = random.Random(seed)
        try:
            with connected(settings) as connection:
                for _ in range(30):
                    meddle(connection, chance, ids)
        except psycopg2.Error as error:  # pragma: no cover - only when it fails
            wrong.append(error)

    watching = threading.Thread(target=look)
    meddling = [threading.Thread(target=change, args=(seed,)) for seed in range(4)]
    for thread in (watching, *meddling):
        thread.start()
    for thread in meddling:
        thread.join()
    done.set()
    watching.join()

    assert wrong == []
    assert differences
    assert set(differences) == {0}
    assert placed() == said()


def meddle(connection, chance, ids):
    """Change one account, or all of them, in one transaction of several statements; sometimes think better of it."""
    try:
        with connection.cursor() as cursor:
            for _ in range(chance.randint(1, 3)):
                where = "true" if chance.random() < 0.3 else f"id = {chance.choice(ids)}"
                column, value = chance.choice(
                    [("state", chance.choice(["active", "active", "paused"])), ("models", chance.choice(MODELS)),
                     ("sharing", chance.choice(["shared", "dedicated"]))]
                )  # fmt: skip
                cast = "::text[]" if column == "models" else ""
                cursor.execute(f"update accounts set {column} = %s{cast} where {where}", (value,))
    except DeadlockDetected:  # between rows of `accounts`: who updates several meets who updates them in another order
        connection.rollback()
        return
    if chance.random() < 0.2:
        connection.rollback()
    else:
        connection.commit()


def connected(settings):
    return psycopg2.connect(settings.database_url.replace("+psycopg2", ""), options="-c deadlock_timeout=20ms")


def asked(connection, query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        (answer,) = cursor.fetchone()
    connection.rollback()
    return answer


@pytest.fixture
def own(environment, new_database):
    """An application on a database of its own."""
    app = create_app(load({**environment, "DATABASE_URL": new_database("supply")}))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


BEFORE = """
with owner as (insert into users (username) values ('she') returning id)
insert into accounts (owner_id, name, base_url, sealed_credential, fingerprint, sharing, state, models,
    allowance_tokens, window_hours)
select owner.id, 'account', 'https://example.com', case when state <> 'withdrawn' then '\\x00'::bytea end,
    convert_to(number::text, 'UTF8'), sharing, state, models, 1, 1
from owner, (values (1, 'shared', 'active', array['m', 'n']), (2, 'dedicated', 'active', array['m']),
    (3, 'shared', 'paused', array['m']), (4, 'shared', 'withdrawn', array['m'])) as given (number, sharing, state, models)
"""


def test_accounts_that_were_there_before_the_ring_are_on_it(own):
    flask_migrate.downgrade(directory=MIGRATIONS, revision="0006")
    db.session.execute(text(BEFORE))
    db.session.commit()

    flask_migrate.upgrade(directory=MIGRATIONS)

    assert placed() == said()
    assert len(placed()) == 3
    ring = rows("account_models order by account_id, model")
    db.session.execute(text("update accounts set state = state"))
    assert rows("account_models order by account_id, model") == ring
