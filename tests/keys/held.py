"""A key as a request finds it in the gateway's books, in a line each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.gateway import books
from shared_accounts.gateway.books import Closing
from shared_accounts.keys import keyring, limits
from shared_accounts.keys.limits import KeyHolder
from shared_accounts.keys.models import ApiKey
from tests.quotas.sharing import open_line, opening


def lay_down(key_id: int, **changes: Any) -> None:
    """What an owner's PATCH does."""
    key = db.session.get(ApiKey, key_id)
    assert key is not None
    limits.change(keyring.get(key.user_id, key_id, to_change=True), changes)
    db.session.commit()


def holder(secret: str) -> KeyHolder:
    """Who comes with this secret, as the guard recognises her."""
    found = keyring.authenticate(keyring.fingerprint_of(secret))
    assert isinstance(found, KeyHolder)
    return found


def begin(secret: str, account_id: int, estimate: int = 0, *, caller: KeyHolder | None = None) -> tuple[str, str]:
    """Open an exchange; returns the verdict and the exchange's id."""
    opened = opening(caller or holder(secret), estimate)
    return open_line(opened, account_id), opened.id


def end(exchange_id: str, cost: int) -> None:
    """Close an exchange at what it has cost."""
    assert books.close_line(exchange_id, Closing("served", "measured" if cost else "released", cost=cost))


def spend(secret: str, account_id: int, cost: int, *, hours_ago: float = 0) -> None:
    """An exchange from its beginning to its end, as long ago as that."""
    verdict, exchange_id = begin(secret, account_id, 0)
    assert verdict == "open"
    if not hours_ago:
        end(exchange_id, cost)
        return
    # As the close would have done it then: by the same trigger.
    db.session.execute(
        text(
            "update usage_log set state = 'closed', closed_at = now() - make_interval(secs => :hours * 3600),"
            " cost = :cost, outcome = 'served', basis = 'measured' where id = :id"
        ),
        {"hours": hours_ago, "cost": cost, "id": exchange_id},
    )
    db.session.commit()
