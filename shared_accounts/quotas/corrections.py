"""Move a pool by hand, within the bounds that hold for everybody, in the open: in its ledger and in the audit log."""

from __future__ import annotations

from shared_accounts.audit import trail
from shared_accounts.errors import NotFound
from shared_accounts.quotas import ledger
from shared_accounts.quotas.forecast import units
from shared_accounts.quotas.models import QuotaPool
from shared_accounts.quotas.refused import DoesNotFit


def correct(user_id: int, model_group: str, amount: int, *, actor_id: int, reason: str) -> QuotaPool:
    """Add to a pool, or take from it; raises `NotFound`, or `DoesNotFit` with the bounds.

    Nothing that is reserved is taken, and nothing is added above the capacity. A debt stays as it is.
    """
    pool = ledger.locked([user_id], model_group).get(user_id)
    if pool is None:
        raise NotFound
    least, most = pool.reserved - pool.balance, max(0, pool.capacity - pool.balance)
    if not least <= amount <= most:
        message = f"This pool can be corrected by {units(least)} to {units(most)} units at the moment."
        raise DoesNotFit(message, least=units(least), most=units(most))
    ledger.correct(pool, amount, actor_id=actor_id, note=reason)
    trail.record("quota.corrected", on=user_id, model_group=model_group, units=units(amount), reason=reason)
    return pool
