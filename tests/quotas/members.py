"""What members, their upstreams, the clock and an admin may do to the books; each thing is also reckoned.

Few users, credentials and model groups, so that whatever can get into each other's way does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import func, select, text

from shared_accounts.accounts import contribution, standing
from shared_accounts.accounts.models import OUT_OF_SERVICE
from shared_accounts.accounts.selection import Candidate
from shared_accounts.config import MICRO
from shared_accounts.errors import Conflict, ServiceError
from shared_accounts.extensions import db
from shared_accounts.gateway import attempts, books
from shared_accounts.gateway.books import Closing, Opening
from shared_accounts.quotas import corrections, gifts, refill
from shared_accounts.users.roster import Caller
from tests import factories
from tests.quotas.reckoning import HOUR, REFERENCE, Reckoning

GROUPS = ("m", "org/n")
USERS, CREDENTIALS = 3, 5
GIFT_LIMIT = 2 * MICRO
UPSTREAM = "http://127.0.0.1:9/v1"
TABLES = (
    "account_events", "accounts", "api_keys", "audit_log", "credits", "ledger_entries", "quota_pools", "reservations",
    "usage_log", "users",
)  # fmt: skip

which = st.integers(0, 11)
users = st.integers(0, USERS - 1)
groups = st.sampled_from(GROUPS)
amounts = st.integers(1, 900_000) | st.sampled_from([1, 400_000, MICRO, 2 * MICRO, 2 * MICRO + 1])
estimates = st.integers(1, 500_000) | st.sampled_from([MICRO, 2 * MICRO])
allowances = st.sampled_from([1, 333_333, REFERENCE, 10**12])
models = st.sets(groups, min_size=1)
sharing = st.sampled_from(["shared", "dedicated"])

# One rule for all: Hypothesis leaves out many rules of several in each life, and what goes wrong takes many things.
EVENTS = st.one_of(
    st.tuples(st.just("chat"), users, which, groups, estimates, st.just(0) | estimates),
    st.tuples(st.just("chat"), users, which, groups, estimates, amounts),
    st.tuples(st.just("open"), users, which, groups, estimates),
    st.tuples(st.just("open_anywhere"), users, which, groups, estimates),
    st.tuples(st.just("contribute"), users, st.integers(0, CREDENTIALS - 1), sharing, models, allowances),
    st.tuples(st.just("change"), which, st.fixed_dictionaries({"sharing": sharing})),
    st.tuples(st.just("change"), which, st.fixed_dictionaries({"models": models})),
    st.tuples(st.just("change"), which, st.fixed_dictionaries({"allowance_tokens": allowances})),
    st.tuples(st.just("change_standing"), which, st.sampled_from(["active", "active", *OUT_OF_SERVICE])),
    st.tuples(st.just("withdraw"), which),
    st.tuples(st.just("finish_draining")),
    st.tuples(st.just("move_to_another_account"), which, which),
    st.tuples(st.just("end"), which, st.just(0) | amounts),
    st.tuples(st.just("end_again"), which, amounts),
    st.tuples(st.just("crash"), which),
    st.tuples(st.just("close_abandoned")),
    st.tuples(st.just("give"), st.permutations(range(USERS)), groups, amounts),
    st.tuples(st.just("correct"), users, groups, amounts | amounts.map(lambda amount: -amount)),
    st.tuples(st.just("time_passes"), st.integers(1, 9)),
    st.tuples(st.just("refill"), st.sampled_from([0, 0, 2, -3])),
)


@dataclass
class Shared:
    """An account as we believe it is."""

    id: int
    owner: int
    credential: int
    sharing: str
    models: set[str]
    allowance_tokens: int
    state: str = "active"


@dataclass
class Exchange:
    """An exchange as we believe it is; open until it has been charged."""

    id: str
    user: int
    group: str
    estimate: int
    account: Shared
    reserved: int = 0
    charged: int | None = None
    lost: bool = False
    owner: int = field(init=False)

    def __post_init__(self) -> None:
        self.owner = self.account.owner


class Members(RuleBasedStateMachine):
    """Three users, each of whom shares an account to begin with and has used some of what it earned her."""

    def __init__(self, app: Any, settings: Any) -> None:
        super().__init__()
        self.vault, self.guard, self.settings = app.extensions["vault"], app.extensions["guard"], settings
        self.reckoning = Reckoning()
        self.accounts: list[Shared] = []
        self.exchanges: list[Exchange] = []

    @initialize()
    def people_arrive(self):
        arrived = [factories.user() for _ in range(USERS)]
        keys = [factories.api_key(user)[0] for user in arrived]
        self.ids, self.names = [user.id for user in arrived], [user.username for user in arrived]
        self.callers = [
            Caller(key.user_id, "active", False, False, key.id, key.fingerprint, None) for key in keys
        ]  # fmt: skip
        for user in range(USERS):
            self.contribute(user, user, "shared", set(GROUPS), REFERENCE)
            for group in GROUPS:
                self.correct(user, group, -1_200_000)

    @rule(what=EVENTS)
    def happen(self, what):
        with suppress(NothingThereError):
            getattr(self, what[0])(*what[1:])

    def teardown(self):
        db.session.rollback()
        db.session.expunge_all()
        deletions = "; ".join(f"delete from {table}" for table in TABLES)
        db.session.execute(text(f"set local session_replication_role = replica; {deletions}"))
        db.session.commit()

    def moment(self) -> datetime:
        """The database's clock, which stands still until this transaction ends."""
        return db.session.execute(select(func.now())).scalar_one()

    def hour(self) -> datetime:
        return self.moment().replace(minute=0, second=0, microsecond=0)

    def present(self) -> list[Shared]:
        return [one for one in self.accounts if one.state not in {"withdrawn", "draining"}]

    def under_way(self) -> list[Exchange]:
        return [one for one in self.exchanges if one.charged is None]

    def key(self, user: int, group: str) -> tuple[int, str]:
        return self.ids[user], group

    def contribute(self, user, credential, sharing, serves, allowance):
        """One of few credentials: often it is known, or was withdrawn by herself or by somebody else."""
        offer = contribution.Offer(
            name="Mine", base_url=UPSTREAM, target=self.guard.parse(UPSTREAM), credential=f"sk-{credential:032}",
            sharing=sharing, models=sorted(serves), allowance_tokens=allowance, window_hours=5, max_concurrency=None,
        )  # fmt: skip
        known = any(one.credential == credential and one.state != "withdrawn" for one in self.accounts)
        try:
            made = contribution.contribute(self.ids[user], offer, vault=self.vault, settings=self.settings)
        except Conflict:
            db.session.rollback()
            assert known
            return
        assert not known
        self.accounts.append(Shared(made.id, user, credential, sharing, set(serves), allowance))
        self.credit(self.accounts[-1])
        db.session.commit()

    def credit(self, account):
        if account.sharing == "shared":
            owner, hour = self.ids[account.owner], self.hour()
            self.reckoning.grow(owner, account.id, account.models, account.allowance_tokens, hour)
            if account.state in OUT_OF_SERVICE:
                self.reckoning.rest(account.id, hour, resting=True)

    def change(self, n, wanted):
        """Toggle sharing, serve other models, claim another allowance: the credit is taken back and given anew."""
        account = one_of(self.present(), n)
        before = deepcopy(account)
        for name, value in wanted.items():
            setattr(account, name, value)
        if account != before:
            self.reckoning.shrink(account.id, self.hour())
            self.credit(account)
        sent = {name: sorted(value) if name == "models" else value for name, value in wanted.items()}
        contribution.change(contribution.mine(self.ids[account.owner], account.id), sent, self.settings)
        db.session.commit()

    def change_standing(self, n, state):
        """Its upstream refuses it, its owner pauses it and brings it back from either, an admin has the last word."""
        account = one_of(self.present(), n)
        by_admin = "disabled" in {account.state, state}
        moves = account.state != state and "active" in {account.state, state}
        if state == "disabled":
            moves = account.state != state
            assert standing.disable(account.id, "abuse", actor_id=1) is moves
        elif by_admin and state == "active":
            assert standing.bring_back(account.id, "disabled")
        elif state in {"active", "paused"}:
            mine = contribution.mine(self.ids[account.owner], account.id)
            contribution.change(mine, {"paused": state == "paused"}, self.settings)
        else:
            assert standing.take_out(account.id, state, "it failed") is moves
        if moves:
            self.reckoning.rest(account.id, self.hour(), resting=state != "active")
            account.state = state
        db.session.commit()

    def withdraw(self, n):
        account = one_of(self.present(), n)
        contribution.withdraw(contribution.mine(self.ids[account.owner], account.id))
        self.leave(account)
        db.session.commit()

    def leave(self, account):
        busy = any(one.account is account for one in self.under_way())
        account.state = "draining" if busy else "withdrawn"
        if not busy:
            self.reckoning.shrink(account.id, self.hour())

    def finish_draining(self):
        contribution.finish_draining()
        for account in self.accounts:
            if account.state == "draining":
                self.leave(account)
        db.session.commit()

    def chat(self, user, n, group, estimate, cost):
        """Most chats go well: somebody else's account serves, and at once it is settled."""
        self.open(user, n, group, estimate)
        self.end(-1, cost)

    def open(self, user, n, group, estimate):
        others = [one for one in self.present() if one.owner != user and one.sharing == "shared"]
        serving = [one for one in others if one.state == "active"]
        account = one_of(serving, n)
        self.attempt(Exchange(attempts.new_id(), user, group, estimate, account), account)

    def open_anywhere(self, user, n, group, estimate):
        """On one's own account, or on one that serves nobody any more."""
        account = one_of(self.accounts, n)
        self.attempt(Exchange(attempts.new_id(), user, group, estimate, account), account)

    def move_to_another_account(self, n, other):
        self.attempt(one_of(self.under_way(), n), one_of(self.accounts, other))

    def attempt(self, exchange, account):
        own = account.owner == exchange.user
        verdict = self.open_line(exchange, account)
        if account.state != "active" or not (own or account.sharing == "shared"):
            assert verdict == "unavailable"
            return
        if not own and not exchange.reserved:
            if not self.reckoning.reserve(self.key(exchange.user, exchange.group), exchange.estimate):
                assert verdict == "short"
                return
            exchange.reserved = exchange.estimate
        assert verdict == books.OPEN
        exchange.account, exchange.owner = account, account.owner
        if exchange not in self.exchanges:
            self.exchanges.append(exchange)

    def open_line(self, exchange, account):
        opening = Opening(
            id=exchange.id, caller=self.callers[exchange.user], model=exchange.group, model_group=exchange.group,
            estimate=exchange.estimate, endpoint="/v1/chat/completions", stream=False, worker="machine",
            lease_seconds=3600, reference=REFERENCE,
        )  # fmt: skip
        return books.open_line(opening, candidate(account)).partition(":")[0]

    def end(self, n, cost):
        self.settle(one_of(self.under_way(), n), cost)

    def end_again(self, n, cost):
        """What has been settled stays as it is."""
        self.settle(one_of([one for one in self.exchanges if one.charged is not None], n), cost)

    def settle(self, exchange, cost):
        ending = Closing("served" if cost else "failed", "measured" if cost else "released", cost=cost)
        assert books.close_line(exchange.id, ending) is (exchange.charged is None)
        self.charge(exchange, cost)

    def charge(self, exchange, cost):
        if exchange.charged is not None:
            return
        exchange.charged = 0
        if exchange.reserved:
            paid = exchange.owner != exchange.user
            key = self.key(exchange.user, exchange.group)
            exchange.charged = self.reckoning.settle(key, exchange.reserved, cost if paid else 0)

    def crash(self, n):
        """The worker dies: nobody extends the lease any more."""
        exchange = one_of(self.under_way(), n)
        exchange.lost = True
        expired = "update usage_log set lease_until = now() - interval '1 second' where id = :id"
        db.session.execute(text(expired), {"id": exchange.id})
        db.session.commit()

    def close_abandoned(self):
        lost = [one for one in self.under_way() if one.lost]
        assert books.close_abandoned() == len(lost)
        for exchange in lost:
            self.charge(exchange, exchange.estimate)

    def time_passes(self, hours):
        """Whatever bears a time moves back, and nothing happens meanwhile."""
        values = {"past": hours * HOUR, "far": 10_000 * HOUR}
        for statement in (
            "update quota_pools set refilled_through = refilled_through - :past",
            # In two steps, or one slot would meet the next on its way.
            "update ledger_entries set at = at - :past, slot = slot - :far",
            "update ledger_entries set slot = slot + :far - :past",
        ):
            db.session.execute(text(statement), values)
        db.session.commit()
        self.reckoning.age(hours)

    def refill(self, skew):
        """The hourly task runs, perhaps on a machine whose clock is wrong."""
        now = self.moment() + skew * HOUR
        refill.refill(now)
        self.reckoning.refill(now.replace(minute=0, second=0, microsecond=0))
        db.session.commit()

    def give(self, pair, group, amount):
        giver, receiver = pair[:2]
        self.unless_refused(
            lambda: gifts.give(self.ids[giver], self.names[receiver], group, amount, note=None, daily_limit=GIFT_LIMIT),
            lambda: self.reckoning.may_give(
                self.key(giver, group), self.key(receiver, group), amount, self.moment(), GIFT_LIMIT
            ),
        )

    def correct(self, user, group, amount):
        self.unless_refused(
            lambda: corrections.correct(self.ids[user], group, amount, actor_id=1, reason="a test"),
            lambda: self.reckoning.may_correct(self.key(user, group), amount, self.hour()),
        )

    def unless_refused(self, act: Callable[[], object], reckon: Callable[[], bool]) -> None:
        """Do both; a refusal leaves everything as it was, here as there."""
        before = deepcopy(self.reckoning)
        allowed = reckon()
        try:
            act()
        except ServiceError:
            db.session.rollback()
            assert not allowed
            self.reckoning = before
        else:
            assert allowed
            db.session.commit()


def candidate(account: Shared) -> Candidate:
    """The account as far as the books ask: by its id; what it is like they read from its row."""
    made = object.__new__(Candidate)
    object.__setattr__(made, "id", account.id)
    return made


class NothingThereError(Exception):
    """What should happen has nothing to happen to."""


def one_of(things, n):
    """The n-th of these, counted in a circle."""
    if not things:
        raise NothingThereError
    return things[n % len(things)]
