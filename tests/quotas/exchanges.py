"""Exchanges in the gateway's books, from the opening to the end, as the real code and as reckoned; a part of `members.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.gateway import attempts, books
from shared_accounts.gateway.books import Closing
from shared_accounts.users.roster import Caller
from tests.quotas.events import NothingThereError, one_of
from tests.quotas.owners import Owners, Shared
from tests.quotas.sharing import open_line, opening


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


class Exchanges(Owners):
    """Owners who chat, on each other's accounts and on their own."""

    def __init__(self, app: Any, settings: Any) -> None:
        super().__init__(app, settings)
        self.exchanges: list[Exchange] = []
        self.callers: list[Caller] = []

    def under_way(self) -> list[Exchange]:
        return [one for one in self.exchanges if one.charged is None]

    def is_busy(self, account: Shared) -> bool:
        return any(one.account is account for one in self.under_way())

    def key(self, user: int, group: str) -> tuple[int, str]:
        return self.ids[user], group

    def serving(self, user: int, *, own: bool) -> list[Shared]:
        """Who may serve this user now: her own accounts, or those others share."""
        active = [one for one in self.present() if one.state == "active"]
        return [one for one in active if (one.owner == user if own else one.owner != user and one.sharing == "shared")]

    def chat(self, user, n, group, estimate, cost):
        """Most chats go well: somebody else's account serves, and at once it is settled."""
        self.open(user, n, group, estimate)
        self.end(-1, cost)

    def chat_at_home(self, user, n, group, estimate, cost):
        """On one's own account, dedicated or shared: nothing is reserved and nothing charged, whatever it cost."""
        account = one_of(self.serving(user, own=True), n)
        exchange = self.attempt(Exchange(attempts.new_id(), user, group, estimate, account), account)
        self.settle(exchange, cost)
        assert (exchange.reserved, exchange.charged) == (0, 0)

    def open(self, user, n, group, estimate):
        account = one_of(self.serving(user, own=False), n)
        self.attempt(Exchange(attempts.new_id(), user, group, estimate, account), account)

    def open_exactly(self, user, n, group, beyond):
        """With all that is free as the estimate, one more or one less."""
        pool = self.reckoning.pools.get(self.key(user, group))
        if pool is None or pool.free + beyond <= 0:
            raise NothingThereError
        self.open(user, n, group, pool.free + beyond)

    def open_anywhere(self, user, n, group, estimate):
        """On any account, even on one that serves nobody any more."""
        account = one_of(self.accounts, n)
        self.attempt(Exchange(attempts.new_id(), user, group, estimate, account), account)

    def move_to_another_account(self, n, other):
        self.attempt(one_of(self.under_way(), n), one_of(self.accounts, other))

    def attempt(self, exchange, account):
        own = account.owner == exchange.user
        verdict = open_line(
            opening(self.callers[exchange.user], exchange.estimate, exchange.group, id=exchange.id), account.id
        )
        if account.state != "active" or not (own or account.sharing == "shared"):
            assert verdict == "unavailable"
            return exchange
        if not own and not exchange.reserved:
            if not self.reckoning.reserve(self.key(exchange.user, exchange.group), exchange.estimate):
                assert verdict == "short"
                return exchange
            exchange.reserved = exchange.estimate
        assert verdict == books.OPEN
        exchange.account, exchange.owner = account, account.owner
        if exchange not in self.exchanges:
            self.exchanges.append(exchange)
        return exchange

    def end(self, n, cost):
        self.settle(one_of(self.under_way(), n), cost)

    def end_exactly(self, n, beyond):
        """It cost all that its reservation and the free balance hold, one more or one less."""
        exchange = one_of(self.under_way(), n)
        pool = self.reckoning.pools.get(self.key(exchange.user, exchange.group))
        cost = exchange.reserved + (pool.free if pool else 0) + beyond
        self.settle(exchange, max(0, cost))

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
