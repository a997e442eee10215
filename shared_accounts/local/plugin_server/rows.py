"""Rows as the server's tables have them."""

from __future__ import annotations

import base64
import re
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

FULL = Decimal("1.0000")
_WINDOW = timedelta(hours=5)


def now() -> datetime:
    """Return the moment as the tables keep it."""
    return datetime.now(UTC)


def new_key() -> str:
    """Make a key as the original does: at most 51 characters, usually a few less."""
    return "sk-" + re.sub(r"[+/=]", "", base64.b64encode(secrets.token_bytes(36)).decode())[:48]


@dataclass(kw_only=True)
class User:
    """Somebody who has a key; names need not differ."""

    user_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    api_key: str = field(default_factory=new_key)
    name: str | None
    prefer_shared: int = 0
    status: int = 1
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)


@dataclass(kw_only=True)
class ModelQuota:
    """What is left of one model on one account; a status of 0 stays when the quota comes back."""

    quota_id: int
    cookie_id: str
    model_name: str
    reset_time: str | None = None
    quota: Decimal = FULL
    status: int = 1
    last_fetched_at: datetime = field(default_factory=now)
    created_at: datetime = field(default_factory=now)

    def observe(self, fraction: Decimal) -> None:
        """Take over what the provider says is left."""
        self.quota, self.last_fetched_at = fraction, now()
        # Kept in the time of the process and told without a zone, as the original does.
        self.reset_time = None if fraction == FULL else (now() + _WINDOW).isoformat(timespec="milliseconds")[:-6]
        if fraction == 0:
            self.status = 0


@dataclass(kw_only=True)
class Account:
    """A Google login (a *cookie*) that a user contributed."""

    cookie_id: str
    user_id: str
    email: str
    name: str
    is_shared: int
    status: int = 1
    need_refresh: bool = False
    expires_at: str = field(default_factory=lambda: str(int((now() + timedelta(hours=1)).timestamp() * 1000)))
    project_id_0: str = ""
    is_restricted: bool = False
    paid_tier: bool | None = False
    ineligible: bool = False
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    quotas: dict[str, ModelQuota] = field(default_factory=dict)

    @property
    def serves(self) -> bool:
        """Say whether requests may be sent on it."""
        return self.status == 1 and not self.need_refresh

    def serves_user(self, user_id: str) -> bool:
        """Say whether it is for this user: hers if dedicated, everybody's if shared; an odd type is for nobody."""
        return self.serves and (self.is_shared == 1 or (self.is_shared == 0 and self.user_id == user_id))


@dataclass(kw_only=True)
class Pool:
    """What a user may draw from shared accounts for one model; its quota may be negative."""

    pool_id: int
    user_id: str
    model_name: str
    quota: Decimal = Decimal(0)
    max_quota: Decimal = Decimal(0)
    last_recovered_at: datetime = field(default_factory=now)
    last_updated_at: datetime = field(default_factory=now)


@dataclass(kw_only=True)
class Consumption:
    """What one request took from an account, as the difference of two readings."""

    log_id: int
    user_id: str
    cookie_id: str
    model_name: str
    quota_before: Decimal
    quota_after: Decimal
    quota_consumed: Decimal
    is_shared: int
    consumed_at: datetime = field(default_factory=now)


@dataclass(frozen=True)
class PendingConsent:
    """Somebody went to Google and has not come back."""

    user_id: str
    is_shared: object
    """As it was sent: only the number 1 leads to credit."""
    until: datetime
