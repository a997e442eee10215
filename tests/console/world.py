"""A world to look at: accounts in every state, pools that fill, calls of two days, a proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert

from shared_accounts.accounts.models import Account, AccountEvent, AccountUse, AccountWindow
from shared_accounts.alerts.models import Alert
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
    lab = _account(
        lin, "DeepSeek lab", GROUPS[3:], state="needs_sign_in", state_reason="the upstream refused the credential"
    )
    ledger.rest(lab.id, resting=True)
    _windows(studio)
    db.session.add(AccountUse(account_id=studio.id, day=func.current_date(), user_id=marta.id, calls=41, cost=723_100))
    _spend(lin, studio)
    finished = {"last_started": ago(minutes=20), "last_finished": ago(minutes=20), "last_outcome": "succeeded"}
    db.session.add(JobRun(task="prove_ledger", found=0, duration_ms=9, **finished))
    laptop, _ = factories.api_key(lin, name="laptop · aider")
    factories.api_key(lin, name="Open WebUI")
    _explained(lin, marta, studio, laptop.id)
    ends = {"key_id": laptop.id, "key": laptop.name, "expires_at": "2030-01-01T00:00:00+00:00"}
    low = {"model_group": "deepseek", "balance": "0.0000", "capacity": "2.0000", "refill_per_hour": "0.4000"}
    for kind, details, read in (("quota_low", low, None), ("key_expiring", ends, None), ("quota_low", low, func.now())):
        about = {"subject": f"{lin.id}-{read is None}", "episode": 1, "details": details}
        db.session.add(Alert(kind=kind, user_id=lin.id, read_at=read, over_at=read, **about))
    db.session.commit()
    return lin


def exchange(user: User, account: Account, group: str, **fields: Any) -> UUID:
    """An exchange of a minute ago, told from its choice to its bill."""
    tokens = {"prompt_tokens": 18_240, "cached_tokens": 12_000, "completion_tokens": 1_106}
    served = {"account_id": account.id, "result": "served", "ms": 518}
    told = {"attempts": [served], "first_byte_ms": 530, "total_ms": 12_600, "api_key_id": None}
    charged = 0 if account.owner_id == user.id else 11_864
    line = _line(user, account, group, minutes=1) | tokens | told | {"cost": 11_864, "charged": charged} | fields
    line["estimate"] = fields.get("estimate", 34_884)
    db.session.execute(insert(UsageLog).values(**line))
    db.session.commit()
    identity: UUID = line["id"]
    return identity


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


def _explained(lin: User, marta: User, studio: Account, key_id: int) -> None:
    """Exchanges of today of which there is something to tell: both ways, and each way to end."""
    seat = factories.account(marta, name="Seat 1", models=GROUPS[:2])
    work = factories.account(marta, name="Workshop", models=GROUPS[:2])
    refused = {"account_id": seat.id, "result": "answered 429", "ms": 310}
    over = [{"account_id": studio.id, "why": "it is busy"}]
    tried = {"passed_over": over, "attempts": [refused, {"account_id": work.id, "result": "served", "ms": 518}]}
    unknown = dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens"))
    nothing = {**unknown, "cost": 0, "charged": 0, "first_byte_ms": None, "total_ms": 320, "attempts": [refused]}
    ends: list[dict[str, Any]] = [
        {**tried, "first_byte_ms": 840},
        {"outcome": "client_left", "basis": "partial", "http_status": None},
        {"outcome": "failed", "basis": "released", "http_status": 429, "error_code": "UPSTREAM_LIMITED", **nothing},
        {"outcome": "broken", "basis": "estimated", "charged": 4_000},
        {"outcome": "outgrown", "basis": "partial", "api_key_id": None, "endpoint": "/playground/answers"},
        {"outcome": "abandoned", "basis": "estimated", "attempts": [], "total_ms": None, **unknown},
    ]
    for end in ends:
        exchange(lin, work, GROUPS[0], **{"api_key_id": key_id, **end})
    exchange(lin, studio, GROUPS[1], api_key_id=key_id, stream=False)
    exchange(marta, studio, GROUPS[1])


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


def _line(user: User, account: Account, group: str, **span: int) -> dict[str, Any]:
    served = {"state": "closed", "outcome": "served", "basis": "measured", "http_status": 200, "first_byte_ms": 840}
    whose = {"user_id": user.id, "account_id": account.id, "contributor_id": account.owner_id}
    what = {"model": group, "model_group": group, "endpoint": "chat", "stream": True, "worker": "w", "estimate": 1}
    when = {"opened_at": ago(**span), "closed_at": ago(**span), "lease_until": ago(**span)}
    began = factories.exchange_id(datetime.now(UTC) - timedelta(**span))
    return {"id": began, **served, **whose, **what, **when}
