"""Real rows with sensible defaults, committed; they need an application context (`session` or `committed`).

Amounts are micro-units, as everywhere in the code: `quota_pool(one, balance=5 * MICRO)`.
"""

from __future__ import annotations

import functools
import itertools
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from flask import current_app
from sqlalchemy import func

from shared_accounts.accounts.models import Account
from shared_accounts.auth import passwords
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.keys import keyring
from shared_accounts.keys.models import ApiKey
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.users.models import User

PASSWORD = "correct horse battery staple"

Row = TypeVar("Row")

_numbers = itertools.count(1)


def user(*, password: str | None = None, **overrides: Any) -> User:
    """A user; without a password, as single sign-on makes them."""
    fields = {"username": f"user-{next(_numbers)}", "password_hash": password and _hash(password), **overrides}
    return _save(User(**fields))


def admin(**overrides: Any) -> User:
    return user(role="admin", **overrides)


def api_key(owner: User, *, name: str = "test", expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """A key and its secret."""
    key, secret = keyring.issue(owner.id, name, None, expires_at)
    db.session.commit()
    return key, secret


def account(
    owner: User,
    *,
    sharing: str = "shared",
    models: tuple[str, ...] | list[str] = ("m",),
    base_url: str = "http://127.0.0.1:9/v1",
    secret: str | None = None,
    **overrides: Any,
) -> Account:
    """An account as contributed, but without the quota that sharing it would earn."""
    vault = current_app.extensions["vault"]
    secret = secret or f"sk-upstream-{secrets.token_hex(16)}"
    fields = {
        "name": f"account-{next(_numbers)}",
        "state": "active",
        "allowance_tokens": 1_000_000,
        "window_hours": 5,
        **overrides,
    }
    made = Account(
        owner_id=owner.id,
        base_url=base_url,
        sharing=sharing,
        models=list(models),
        fingerprint=vault.fingerprint(secret),
        sealed_credential=None if fields["state"] == "withdrawn" else b"",
        **fields,
    )
    db.session.add(made)
    db.session.flush()
    if made.state != "withdrawn":
        made.sealed_credential = vault.seal(secret, purpose=f"account:{made.id}")
    return _save(made)


def quota_pool(
    owner: User, *, balance: int = 10 * MICRO, model_group: str = "m", capacity: int | None = None, **overrides: Any
) -> QuotaPool:
    """A pool whose balance its ledger explains."""
    capacity = max(balance, 10 * MICRO) if capacity is None else capacity
    pool = QuotaPool(user_id=owner.id, model_group=model_group, balance=balance, capacity=capacity, **overrides)
    db.session.add(pool)
    db.session.flush()
    if balance:
        entry = LedgerEntry(pool_id=pool.id, kind="correction", amount=balance, balance_after=balance, note="test")
        db.session.add(entry)
    return _save(pool)


def exchange_id(at: datetime | None = None) -> UUID:
    """The id of an exchange that began then, or now: as the gateway makes them, later ones greater."""
    milliseconds = int((at or datetime.now(UTC)).timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62) | next(_numbers))


def ago(**span: float) -> Any:
    """A moment in the past by the database's clock: `ago(hours=1)`."""
    return func.now() - timedelta(**span)


@functools.cache
def _hash(password: str) -> str:
    return passwords.hash_password(password)


def _save(row: Row) -> Row:
    db.session.add(row)
    db.session.commit()
    return row
