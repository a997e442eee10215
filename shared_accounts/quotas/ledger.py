"""The only code that moves a balance, with `moves.py`, its part that runs in the gateway's statements.

Invariant: whoever changes `balance` or `reserved` holds the pool's row lock, assigns both columns from the
locked row and adds the entry that says why, in the same transaction. (PostgreSQL tests a CHECK against the
statement's snapshot before it notices that the row has moved on, so relative updates after a lock fail
falsely; a single conditional `reserved + x` is the one safe exception.) Pools are locked in id order, and a
reservation before its pool: no two writers can wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from shared_accounts.extensions import db
from shared_accounts.quotas.models import Credit, LedgerEntry, QuotaPool
from shared_accounts.quotas.refill import refill
from shared_accounts.quotas.terms import Figures, Terms, grown, shrunk


def grow(user_id: int, account_id: int, terms: dict[str, Terms], *, resting: bool = False) -> None:
    """Credit the owner of a shared account, per model group, and remember exactly what was credited."""
    for pool in _locked_pools(user_id, terms):
        offer = terms[pool.model_group]
        after, credit = grown(figures(pool), offer, resting=resting)
        _become(pool, after, "credit", account_id)
        db.session.execute(
            insert(Credit).values(
                account_id=account_id,
                model_group=pool.model_group,
                pool_id=pool.id,
                capacity=offer.capacity,
                refill_per_hour=offer.refill_per_hour,
                balance=credit,
                resting=resting,
            )
        )
    db.session.flush()


def shrink(account_id: int) -> None:
    """Take back what `grow` credited for this account; what is spent or reserved already becomes a debt."""
    for pool, credit in _credits(account_id):
        _become(pool, shrunk(figures(pool), credit), "forfeit", account_id)
    db.session.execute(delete(Credit).where(Credit.account_id == account_id))
    db.session.flush()


def rest(account_id: int, *, resting: bool) -> None:
    """Stop, or resume, this account's part of the refill; twice is harmless."""
    for pool, credit in _credits(account_id):
        if credit.resting == resting:
            continue
        pool.refill_per_hour += -credit.refill_per_hour if resting else credit.refill_per_hour
        credit.resting = resting
    db.session.flush()


def locked(user_ids: Iterable[int], model_group: str) -> dict[int, QuotaPool]:
    """Lock these users' pools for one model group, refilled up to now; whoever has none is left out."""
    where = QuotaPool.user_id.in_(list(user_ids)) & (QuotaPool.model_group == model_group)
    return {pool.user_id: pool for pool in _lock(list(db.session.scalars(select(QuotaPool.id).where(where))))}


def give(giver: QuotaPool, receiver: QuotaPool, amount: int, *, note: str | None) -> None:
    """Move a gift between two locked pools; each of its two entries names the other's owner."""
    if giver.model_group != receiver.model_group or giver is receiver:
        raise ValueError(amount)
    _post(giver, "gift", -amount, note=note, actor_id=giver.user_id, counterpart_id=receiver.user_id)
    _post(receiver, "gift", amount, note=note, actor_id=giver.user_id, counterpart_id=giver.user_id)
    db.session.flush()


def correct(pool: QuotaPool, amount: int, *, actor_id: int, note: str) -> None:
    """Move a locked pool by hand; who did it and why stands in its ledger."""
    _post(pool, "correction", amount, actor_id=actor_id, note=note)
    db.session.flush()


def pools_of(user_id: int) -> list[QuotaPool]:
    """Return a user's pools by name."""
    mine = select(QuotaPool).where(QuotaPool.user_id == user_id)
    return list(db.session.scalars(mine.order_by(QuotaPool.model_group)))


def credits_of(account_id: int) -> dict[str, Credit]:
    """Return what sharing an account is credited with, by model group."""
    given = select(Credit).where(Credit.account_id == account_id).order_by(Credit.model_group)
    return {credit.model_group: credit for credit in db.session.scalars(given)}


def figures(pool: QuotaPool) -> Figures:
    """Return a pool as it stands."""
    return Figures(pool.refilled_through, pool.balance, pool.reserved, pool.capacity, pool.refill_per_hour, pool.owed)


def _locked_pools(user_id: int, groups: Iterable[str]) -> list[QuotaPool]:
    names = sorted(groups)
    if not names:
        return []
    fresh = [{"user_id": user_id, "model_group": name} for name in names]
    db.session.execute(upsert(QuotaPool).on_conflict_do_nothing(), fresh)
    where = (QuotaPool.user_id == user_id) & QuotaPool.model_group.in_(names)
    return _lock(list(db.session.scalars(select(QuotaPool.id).where(where))))


def _lock(ids: list[int]) -> list[QuotaPool]:
    """Lock these pools in id order, with every full hour up to now refilled at the old rate."""
    query = select(QuotaPool).where(QuotaPool.id.in_(ids)).order_by(QuotaPool.id).with_for_update()
    db.session.scalars(query).all()
    refill(pool_ids=ids)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def _credits(account_id: int) -> list[tuple[QuotaPool, Credit]]:
    given = {row.pool_id: row for row in credits_of(account_id).values()}
    return [(pool, given[pool.id]) for pool in _lock(list(given))]


def _become(pool: QuotaPool, after: Figures, kind: str, account_id: int) -> None:
    """Bring a locked pool to the figures that were reckoned for it."""
    pool.capacity, pool.refill_per_hour, pool.owed = after.capacity, after.refill_per_hour, after.owed
    _post(pool, kind, after.balance - pool.balance, account_id=account_id)


def _post(pool: QuotaPool, kind: str, amount: int, **why: object) -> None:
    """Move a locked pool and say why; moving by nothing leaves no entry."""
    if amount == 0:
        return
    pool.balance += amount
    entry = {"pool_id": pool.id, "kind": kind, "amount": amount, "balance_after": pool.balance, **why}
    db.session.execute(insert(LedgerEntry).values(entry))
