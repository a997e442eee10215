"""What owners and admins do with accounts, by the real code and as reckoned; a part of `members.py`."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import func, select

from shared_accounts.accounts import contribution, standing, withdrawal
from shared_accounts.accounts.models import OUT_OF_SERVICE
from shared_accounts.errors import Conflict
from shared_accounts.extensions import db
from tests.quotas.events import one_of
from tests.quotas.reckoning import Reckoning

UPSTREAM = "http://127.0.0.1:9/v1"


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


class Owners(RuleBasedStateMachine):
    """Users who contribute, change and withdraw accounts."""

    def __init__(self, app: Any, settings: Any) -> None:
        super().__init__()
        self.vault, self.guard, self.settings = app.extensions["vault"], app.extensions["guard"], settings
        self.reckoning = Reckoning()
        self.accounts: list[Shared] = []
        self.ids: list[int] = []

    def is_busy(self, account: Shared) -> bool:
        """Whether an exchange is under way on an account."""
        raise NotImplementedError

    def moment(self) -> datetime:
        """The database's clock, which stands still until this transaction ends."""
        return db.session.execute(select(func.now())).scalar_one()

    def hour(self) -> datetime:
        return self.moment().replace(minute=0, second=0, microsecond=0)

    def present(self) -> list[Shared]:
        return [one for one in self.accounts if one.state not in {"withdrawn", "draining"}]

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

    def bring_again(self, n, user, serves, allowance):
        """A credential that was withdrawn comes back, often under somebody else's name."""
        gone = one_of([one for one in self.accounts if one.state == "withdrawn"], n)
        self.contribute(user, gone.credential, "shared", serves, allowance)

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
        withdrawal.withdraw(contribution.mine(self.ids[account.owner], account.id))
        self.leave(account)
        db.session.commit()

    def leave(self, account):
        busy = self.is_busy(account)
        account.state = "draining" if busy else "withdrawn"
        if not busy:
            self.reckoning.shrink(account.id, self.hour())

    def finish_draining(self):
        while withdrawal.finish_draining():
            db.session.commit()
        for account in self.accounts:
            if account.state == "draining":
                self.leave(account)
        db.session.commit()
