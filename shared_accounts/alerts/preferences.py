"""Where a user wants alerts sent, and which kinds of them."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from sqlalchemy.dialects.postgresql import insert as upsert

from shared_accounts.alerts import webhook
from shared_accounts.alerts.models import FOR_USERS, AlertPreference
from shared_accounts.crypto import Vault
from shared_accounts.extensions import db

KINDS = tuple(kind for kind in FOR_USERS if kind != "test")

_SECRET_BYTES = 32
_NOTHING: dict[str, Any] = {"email": None, "webhook_url": None, "by_email": list(KINDS), "by_webhook": list(KINDS)}


def of(user_id: int) -> dict[str, Any]:
    """Return where a user wants which kinds sent; who never said wants all, and has no address."""
    row = db.session.get(AlertPreference, user_id, populate_existing=True)
    return {name: getattr(row, name) for name in _NOTHING} if row else dict(_NOTHING)


def change(user_id: int, wanted: dict[str, Any], *, vault: Vault, allowed: tuple[str, ...]) -> str | None:
    """Take over what is wanted, and leave the rest; returns a webhook's secret when there is a new one, this once.

    A webhook gets its secret when its address is set or changes, or `new_webhook_secret` asks for one. Raises
    `Unprocessable` for an address that no letter may be sent to.
    """
    renewed = wanted.pop("new_webhook_secret", False)
    db.session.execute(upsert(AlertPreference).on_conflict_do_nothing(), {"user_id": user_id, **_NOTHING})
    row = db.session.get(AlertPreference, user_id, populate_existing=True, with_for_update=True)
    assert row is not None  # noqa: S101 - it has just been made
    url = wanted.get("webhook_url", row.webhook_url)
    if url is not None:
        webhook.parse(url, allowed)
    is_new = url is not None and (renewed or url != row.webhook_url)
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}" if is_new else None
    for name, value in wanted.items():
        setattr(row, name, value)
    if secret is not None:
        row.sealed_secret = vault.seal(secret, purpose=_purpose(user_id))
    elif url is None:
        row.sealed_secret = None
    db.session.flush()
    return secret


def secret_of(row: AlertPreference, vault: Vault) -> str:
    """Return the secret a user's webhooks are signed with."""
    return vault.unseal(row.sealed_secret or b"", purpose=_purpose(row.user_id))


def _purpose(user_id: int) -> str:
    return f"webhook:{user_id}"
