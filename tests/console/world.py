"""A world to look at: accounts in every state, pools that fill, calls of two days, a proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert

from shared_accounts.accounts.models import Account, AccountEvent, AccountUse, AccountWindow
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.metrics.models import JobRun
from shared_accounts.quotas import ledger
from shared_accounts.quotas.ledger import Terms
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.usage.models import UsageLog
from shared_accounts.users.models import User
from tests import factories
from tests.factories import ago

GROUPS = ("claude-sonnet", "gpt-5", "gemini-pro", "deepseek")


def settled(**user: Any) -> User:
    """Somebody who has been here for a while."""
    lin = factories.user(password=factories.PASSWORD, **user)
    marta = factories.user()
    studio = _account(lin, "Studio gateway", GROUPS[:2])
    _account(lin, "Evening seat", GROUPS[:1], cooling_until=func.now() + timedelta(minutes=9))
    _account(lin, "Laptop key", GROUPS[1:2], sharing="dedicated")
    lab = _account(lin, "DeepSeek lab", GROUPS[3:], state="needs_sign_in", state_reason="a probe was refused")
    ledger.rest(lab.id, resting=True)
    _windows(studio)
    db.session.add(AccountUse(account_id=studio.id, day=func.current_date(), user_id=marta.id, calls=41, cost=723_100))
    _spend(lin, studio)
    finished = {"last_started": ago(minutes=20), "last_finished": ago(minutes=20), "last_outcome": "succeeded"}
    db.session.add(JobRun(task="prove_ledger", found=0, duration_ms=9, **finished))
    factories.api_key(lin, name="laptop · aider")
    factories.api_key(lin, name="Open WebUI")
    db.session.commit()
    return lin


def _account(owner: User, name: str, models: tuple[str, ...], **fields: Any) -> Account:
    made = factories.account(
        owner, name=name, models=models, base_url="https://gateway.studio-nord.example/v1", **fields
    )
    if made.sharing == "shared":
        terms = Terms(capacity=2 * MICRO, refill_per_hour=400_000, balance=2 * MICRO)
        ledger.grow(owner.id, made.id, dict.fromkeys(models, terms))
    db.session.add(
        AccountEvent(account_id=made.id, from_state=None, to_state="active", reason="contributed", at=ago(days=9))
    )
    if made.state != "active":
        step = {"from_state": "active", "to_state": made.state, "reason": made.state_reason}
        db.session.add(AccountEvent(account_id=made.id, at=ago(hours=3), **step))
    db.session.commit()
    return made


def _windows(account: Account) -> None:
    resets = func.now() + timedelta(hours=2)
    for group, used in zip(account.models, (620_000, 310_000), strict=True):
        db.session.add(AccountWindow(account_id=account.id, model_group=group, used=used, resets_at=resets))


def _spend(user: User, account: Account) -> None:
    for pool in db.session.query(QuotaPool).filter_by(user_id=user.id):
        for number in range({"claude-sonnet": 9, "gpt-5": 7, "deepseek": 10}.get(pool.model_group, 0)):
            line = _line(user, account, pool.model_group, hours=number * 3)
            cost = min(190_000 + 7_000 * number, pool.balance)
            pool.balance -= cost
            entry = {"pool_id": pool.id, "kind": "spend", "amount": -cost, "balance_after": pool.balance}
            db.session.execute(insert(UsageLog).values(**line, charged=cost, cost=cost))
            db.session.execute(insert(LedgerEntry).values(**entry, exchange_id=line["id"]))
    db.session.commit()


def _line(user: User, account: Account, group: str, *, hours: int) -> dict[str, Any]:
    served = {"state": "closed", "outcome": "served", "basis": "measured", "http_status": 200, "first_byte_ms": 840}
    whose = {"user_id": user.id, "account_id": account.id, "contributor_id": account.owner_id}
    what = {"model": group, "model_group": group, "endpoint": "chat", "stream": True, "worker": "w", "estimate": 1}
    when = {"opened_at": ago(hours=hours), "closed_at": ago(hours=hours), "lease_until": ago(hours=hours)}
    began = factories.exchange_id(datetime.now(UTC) - timedelta(hours=hours))
    return {"id": began, **served, **whose, **what, **when}
