"""Tickets: what must come back to us through a browser, once and soon.

A provider's `state`, the one-time code that a browser brings back, a second factor's challenge. Invariant: a
ticket is redeemed by at most one request, whichever worker it reaches, and by none after its time. Its secret is
stored as a fingerprint and its payload sealed, so who reads the table can redeem nothing. PostgreSQL keeps them,
hence signing in works while Redis is away.
"""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select

from shared_accounts.auth.models import Ticket
from shared_accounts.crypto import Vault, fingerprint
from shared_accounts.extensions import db


def issue(vault: Vault, kind: str, payload: dict[str, Any], *, seconds: int) -> str:
    """Store `payload` for `seconds` and return the secret that redeems it (43 characters fit for a URL)."""
    secret = secrets.token_urlsafe(32)
    sealed = vault.seal(json.dumps(payload), purpose=f"ticket:{kind}")
    expires_at = func.now() + timedelta(seconds=seconds)
    db.session.add(Ticket(fingerprint=fingerprint(secret), kind=kind, sealed=sealed, expires_at=expires_at))
    db.session.flush()
    return secret


def redeem(vault: Vault, kind: str, secret: str) -> dict[str, Any] | None:
    """Return the payload and spend the ticket; None when there is none such, it is spent or its time is over."""
    spent = delete(Ticket).where(Ticket.fingerprint == fingerprint(secret), Ticket.kind == kind)
    row = db.session.execute(spent.returning(Ticket.sealed, Ticket.expires_at > func.now())).one_or_none()
    return _open(vault, kind, row[0]) if row and row[1] else None


def look_at(vault: Vault, kind: str, secret: str) -> dict[str, Any] | None:
    """Return the payload and leave the ticket valid, for a challenge that may be answered wrongly first."""
    known = select(Ticket.sealed).where(Ticket.fingerprint == fingerprint(secret), Ticket.kind == kind)
    sealed = db.session.scalar(known.where(Ticket.expires_at > func.now()))
    return _open(vault, kind, sealed) if sealed else None


def forget_expired() -> int:
    """Delete what nobody can redeem any more; returns how many."""
    gone = db.session.execute(delete(Ticket).where(Ticket.expires_at < func.now()).returning(Ticket.fingerprint))
    return len(gone.all())


def _open(vault: Vault, kind: str, sealed: bytes) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(vault.unseal(bytes(sealed), purpose=f"ticket:{kind}"))
    return payload
