"""What members, their upstreams, the clock and an admin may do to the books; each thing is also reckoned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy

from hypothesis.stateful import initialize, rule
from sqlalchemy import text

from shared_accounts.config import MICRO
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.quotas import corrections, gifts, refill
from tests import factories
from tests.quotas.events import EVENTS, GROUPS, USERS, NothingThereError
from tests.quotas.exchanges import Exchanges
from tests.quotas.reckoning import HOUR, REFERENCE
from tests.quotas.sharing import caller_for

GIFT_LIMIT = 2 * MICRO
USED = (100_000, 400_000, 1_200_000)
"""By user: unlike, so that one has more to give than fits into another's pool, and another less."""
TABLES = (
    "account_events", "accounts", "api_keys", "audit_log", "credits", "ledger_entries", "quota_pools", "reservations",
    "usage_log", "users",
)  # fmt: skip


class Members(Exchanges):
    """Three users, each of whom shares an account to begin with and has used some of what it earned her."""

    @initialize()
    def people_arrive(self):
        arrived = [factories.user() for _ in range(USERS)]
        self.ids, self.names = [user.id for user in arrived], [user.username for user in arrived]
        self.callers = [caller_for(user) for user in arrived]
        for user, used in enumerate(USED):
            self.contribute(user, user, "shared", set(GROUPS), REFERENCE)
            for group in GROUPS:
                self.correct(user, group, -used)

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

    def give_exactly(self, pair, group, of, beyond):
        """All that the giver has free, that fits into the receiver's pool or that is left of the day's limit."""
        giver, receiver = (self.key(user, group) for user in pair[:2])
        bounds = {
            "free": self.reckoning.bounds(giver, self.hour()).get("free"),
            "room": self.reckoning.bounds(receiver, self.hour()).get("room"),
            "left today": GIFT_LIMIT - self.reckoning.given_today(giver, self.moment()),
        }
        self.give(pair, group, amount_of(bounds[of], beyond))

    def correct(self, user, group, amount):
        self.unless_refused(
            lambda: corrections.correct(self.ids[user], group, amount, actor_id=1, reason="a test"),
            lambda: self.reckoning.may_correct(self.key(user, group), amount, self.hour()),
        )

    def correct_exactly(self, user, group, of, beyond):
        """Take all that is free, or add all that fits."""
        bounds = self.reckoning.bounds(self.key(user, group), self.hour())
        amount = amount_of(bounds.get(of), beyond)
        self.correct(user, group, -amount if of == "free" else amount)

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


def amount_of(bound: int | None, beyond: int) -> int:
    """All of it, one more or one less, if that is an amount."""
    if bound is None or bound + beyond <= 0:
        raise NothingThereError
    return bound + beyond
