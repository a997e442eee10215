"""Many at once as one after the other: how groups form, who is asked alone, and that the books end the same."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import psycopg2
import pytest
from sqlalchemy import text

from shared_accounts.config import MICRO
from shared_accounts.errors import DatabaseUnavailable
from shared_accounts.extensions import db
from shared_accounts.gateway import attempts, books
from shared_accounts.gateway.books import Closing
from shared_accounts.group_commit import GroupCommit
from shared_accounts.keys import keyring
from shared_accounts.quotas import proof
from tests import factories
from tests.conftest import ROOT
from tests.gateway.scene import wait_until
from tests.quotas.sharing import caller_for, opening

# -- how groups form


class Desk:
    """What groups are brought to: it notes them, and holds the first until somebody says go."""

    def __init__(self, together=None):
        self.groups, self.alone = [], []
        self.go = threading.Event()
        self._together = together or (lambda group: [f"{one}!" for one in group])
        self.commits = GroupCommit(self._one, self._several)

    def _one(self, asked):
        self.alone.append(asked)
        if asked == "bad":
            raise psycopg2.IntegrityError
        return f"{asked} alone!"

    def _several(self, group):
        self.groups.append(list(group))
        if group[0] == "first":
            assert self.go.wait(30)
            return ["first!"]
        return self._together(group)

    def ask(self, *names):
        """Ask for one, and while that is under way for these, in this order; returns what became of each."""
        with ThreadPoolExecutor(1 + len(names)) as threads:
            asked = [threads.submit(self.commits.ask, "first")]
            wait_until(lambda: self.groups, "nobody goes first")
            for number, name in enumerate(names, 1):
                asked.append(threads.submit(self.commits.ask, name))
                wait_until(lambda number=number: len(self.commits._waiting) == number, "she does not wait")  # noqa: SLF001
            self.go.set()
            return [one.exception() or one.result() for one in asked]


def test_who_comes_while_one_is_under_way_goes_with_all_who_wait_in_the_order_they_came():
    desk = Desk()

    assert desk.ask("a", "b", "c") == ["first!", "a!", "b!", "c!"]
    assert desk.groups == [["first"], ["a", "b", "c"]]
    assert desk.alone == []
    assert desk.commits.ask("later") == "later!"


def test_a_group_is_of_bearable_size():
    desk = Desk()

    assert desk.ask(*map(str, range(200)))[1:] == [f"{number}!" for number in range(200)]
    assert [len(group) for group in desk.groups] == [1, 128, 72]


def test_whom_a_group_cannot_answer_asks_alone():
    desk = Desk(lambda group: [None if one == "b" else f"{one}!" for one in group])

    assert desk.ask("a", "b", "c") == ["first!", "a!", "b alone!", "c!"]


def test_one_bad_row_fails_nobody_else():
    def fail(group):
        raise psycopg2.DataError

    desk = Desk(fail)
    _, a, bad, c = desk.ask("a", "bad", "c")

    assert (a, c) == ("a alone!", "c alone!")
    assert isinstance(bad, psycopg2.IntegrityError)
    assert desk.commits.ask("first") == "first!"


def test_a_database_that_is_away_is_so_for_the_whole_group():
    def fail(group):
        raise DatabaseUnavailable

    found = Desk(fail).ask("a", "b")

    assert [type(one) for one in found[1:]] == [DatabaseUnavailable] * 2


def test_when_a_leader_comes_to_grief_the_others_are_served():
    def fail(group):
        if "a" in group:
            raise SystemExit
        return [f"{one}!" for one in group]

    desk = Desk(fail)
    _, a, b = desk.ask("a", "b")

    assert isinstance(a, SystemExit)
    assert b == "b alone!"
    assert desk.commits.ask("c") == "c!"


KILLED = """
from gevent import monkey; monkey.patch_all()
import gevent
from shared_accounts.group_commit import GroupCommit

asked = []
def together(group):
    asked.append(list(group)); gevent.sleep(0.05)
    return [one for one in group]
commits = GroupCommit(str, together)
first, a, b, c = (gevent.spawn(commits.ask, name) for name in ("first", "a", "b", "c"))
gevent.sleep(0.01)
a.kill(block=False)      # she waits, and is killed before it is her turn
gevent.sleep(0.05)       # now b leads, and c goes with her
b.kill(block=False)      # killed while she leads for both
c.join(1); d = gevent.spawn(commits.ask, "d"); d.join(1)
print(asked, first.value, c.value, d.value)

commits = GroupCommit(str, together)
first, a, b = (gevent.spawn(commits.ask, name) for name in ("first", "a", "b"))
gevent.sleep(0.01)
first.kill(block=False)
a.kill(block=False)      # told to lead and killed in the same moment
b.join(1)
print(b.value)
"""


def test_whoever_is_killed_somebody_leads_on():
    done = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.splitlines() == ["[['first'], ['b', 'c'], ['d']] first c d", "b"]


# -- what a group does to the books


BOOKS = (
    "select user_id, balance, reserved from quota_pools where user_id = any(:ids) order by user_id",
    """select user_id, entry.amount, balance_after, exchange_id
    from ledger_entries entry join quota_pools pool on pool.id = pool_id
    where user_id = any(:ids) order by user_id, entry.id""",
    """select id, user_id, account_id, state, cost, charged, outcome, basis
    from usage_log where user_id = any(:ids)""",
)


class World:
    """People, keys and accounts of all kinds, and exchanges that are opened and closed on them."""

    def __init__(self, dice):
        owner = factories.user()
        self.accounts = [factories.account(owner) for _ in range(3)]
        self.accounts += [factories.account(owner, state="paused"), factories.account(owner, sharing="dedicated")]
        self.callers, self.users = [], [owner]
        for state in ("active", "active", "active", "silenced", "disabled"):
            user = factories.user(state=state)
            self.users.append(user)
            self.callers.append(caller_for(user))
            if len(self.users) != 4:
                factories.quota_pool(user, balance=dice.randrange(200, 4000))
        revoked = caller_for(self.users[1])
        keyring.switch(self.users[1].id, revoked.api_key_id, on=False)
        self.callers += [revoked, caller_for(owner), caller_for(self.users[1])]
        db.session.commit()
        self.openings, self.closings = {}, {}

    def open(self, number, who, which, estimate):
        exchange = self.openings.setdefault(number, opening(self.callers[who], estimate))
        return books.asked_to_open(exchange, SimpleNamespace(id=self.accounts[which].id))

    def close(self, number, cost):
        ending = Closing("served" if cost else "failed", "measured" if cost else "released", cost=cost)
        known = self.openings.get(number)
        return books.asked_to_close(known.id if known else attempts.new_id(), ending)

    def books(self):
        """Every figure, without the numbers that differ from world to world."""
        ids = [user.id for user in self.users]
        names = {exchange.id: number for number, exchange in self.openings.items()}
        pools, entries, lines = (db.session.execute(text(query), {"ids": ids}).all() for query in BOOKS)
        db.session.rollback()
        at = [account.id for account in self.accounts]
        return (
            [(ids.index(one[0]), *one[1:]) for one in pools],
            [(ids.index(one[0]), *one[1:3], names.get(one[3] and one[3].hex)) for one in entries],
            sorted((names[one[0].hex], ids.index(one[1]), at.index(one[2]), *one[3:]) for one in lines),
        )


def script(dice):
    """Steps in turns of a kind: some exchanges opened, tried again elsewhere, or closed, also twice or never opened."""
    steps = []
    for _ in range(6):
        if dice.random() < 0.6:
            known = dice.sample(range(40), dice.randrange(1, 16))
            steps.append(
                ("open", [(one, dice.choice((0, 0, 1, 1, 2, 3, 4, 5, 6, 7)), dice.choice((0, 1, 2, 2, 3, 4)),
                           dice.choice((0, 10, 100, 400, 900))) for one in known])
            )  # fmt: skip
        else:
            known = dice.sample(range(40), dice.randrange(1, 24))
            steps.append(("close", [(one, dice.choice((0, 5, 90, 400, 2500))) for one in known]))
    return steps


def played(world, steps, cut):
    """What is answered to each step when it is cut into groups so."""
    answers = []
    for kind, rows in steps:
        together, alone = {
            "open": (books.openings.together, books.openings.alone),
            "close": (books.closings.together, books.closings.alone),
        }[kind]
        asked = [getattr(world, kind)(*row) for row in rows]
        while asked:
            size = cut(len(asked))
            group, asked = asked[:size], asked[size:]
            told = together(group)
            answers += [alone(one) if answer is None else answer for one, answer in zip(group, told, strict=True)]
    return answers


@pytest.mark.parametrize("seed", range(8))
def test_groups_cut_at_random_end_as_one_after_the_other(committed, seed):
    dice = random.Random(seed)
    steps, worlds = script(dice), [World(random.Random(seed)) for _ in range(3)]

    cuts = (lambda _: 1, lambda left: left, lambda left: dice.randint(1, left))
    answers = [played(world, steps, cut) for world, cut in zip(worlds, cuts, strict=True)]

    assert answers[0] == answers[1] == answers[2]
    assert worlds[0].books() == worlds[1].books() == worlds[2].books()
    assert proof.verify() == []


def test_a_pool_with_room_for_some_of_a_group_gives_it_to_exactly_so_many(committed):
    caller = caller_for(factories.user())
    factories.quota_pool(db.session.get(type(factories.user()), caller.user_id), balance=37 * MICRO + 5)
    chosen = SimpleNamespace(id=factories.account(factories.user()).id)
    db.session.commit()
    group = [books.asked_to_open(opening(caller, MICRO), chosen) for _ in range(90)]
    big = books.asked_to_open(opening(caller, 50 * MICRO), chosen)

    told = books.openings.together([big, *group])
    found = [
        books.openings.alone(one) if answer is None else answer for one, answer in zip([big, *group], told, strict=True)
    ]

    assert told[0] == "short"  # it is refused at once, and takes no room from the others
    assert found[1:] == ["open"] * 37 + ["short"] * 53


@pytest.mark.parametrize("limit", ["account", "user", "key", "budget"])
def test_who_has_a_limit_is_counted_alone(committed, limit):
    user, owner = factories.user(), factories.user()
    factories.quota_pool(user)
    caller = caller_for(user)
    chosen = factories.account(owner, max_concurrency=3 if limit == "account" else None)
    changes = {
        "account": "select 1",
        "user": "update trust_levels set max_concurrent = 3",
        "key": "update api_keys set max_concurrent = 3",
        "budget": "update api_keys set budget_day = 35",
    }
    db.session.execute(text(changes[limit]))
    db.session.commit()
    group = [books.asked_to_open(opening(caller, 10), SimpleNamespace(id=chosen.id)) for _ in range(6)]

    told = books.openings.together(group)
    found = [books.openings.alone(one) for one in group]

    assert told == [None] * 6
    assert found.count("open") == 3


def test_one_row_that_somebody_has_locked_keeps_nobody_else_waiting(app, committed):
    users = [factories.user() for _ in range(3)]
    for user in users:
        factories.quota_pool(user)
    chosen = SimpleNamespace(id=factories.account(factories.user()).id)
    group = [opening(caller_for(user), 10) for user in users]
    db.session.execute(text("select from quota_pools where user_id = :id for update"), {"id": users[1].id})

    with ThreadPoolExecutor(3) as threads:
        opened = [threads.submit(books.open_line, one, chosen) for one in group]
        assert [opened[0].result(30), opened[2].result(30)] == ["open"] * 2
        assert not opened[1].done()
        db.session.rollback()
        assert opened[1].result(30) == "open"


CUT = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and query like 'EXECUTE %_exchanges%'"""


def test_connections_that_are_cut_under_load_lose_nothing_and_double_nothing(committed):
    users = [factories.user() for _ in range(4)]
    for user in users:
        factories.quota_pool(user, balance=10 * MICRO)
    callers = [caller_for(user) for user in users]
    chosen = SimpleNamespace(id=factories.account(factories.user()).id)
    exchanges = [opening(callers[number % 4], 100) for number in range(160)]

    with ThreadPoolExecutor(16) as threads:
        done = [threads.submit(chat, one, chosen) for one in exchanges]
        for number in range(1, 5):
            wait_until(lambda least=number * 30: sum(one.done() for one in done) >= least, "nothing ends")
            db.session.execute(text(CUT))
        for one in done:
            one.result()

    db.session.rollback()
    lines = db.session.execute(text("select state, charged, count(*) from usage_log group by state, charged")).all()
    assert lines == [("closed", 60, 160)]
    pools = db.session.execute(text("select balance, reserved from quota_pools")).all()
    assert pools == [(10 * MICRO - 40 * 60, 0)] * 4
    assert proof.verify() == []


def chat(exchange, chosen):
    """What the gateway does, but patient with a database that goes away twice in a row."""
    asks = [
        lambda: books.open_line(exchange, chosen) == "open",
        lambda: books.close_line(exchange.id, Closing("served", "measured", cost=60)) or True,
    ]
    for ask in asks:
        for _ in range(10):
            with suppress(DatabaseUnavailable):
                assert ask()
                break
