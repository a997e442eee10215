"""Which models are used without a price."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from shared_accounts.extensions import db
from shared_accounts.money.models import ModelPrice
from shared_accounts.usage.stats import stats
from shared_accounts.usage.wanted import ALL, Wanted


def models(viewer: int) -> list[dict[str, Any]]:
    """Return the models with lines whose tokens are known but no price, the most used first.

    `has_price` tells those that have got one since: recomputing gives it to the older lines.
    """
    found = [sums for sums in stats(Wanted(viewer=viewer, scope=ALL)).by["model"] if sums.unpriced]
    names = [sums.model for sums in found]
    priced = select(ModelPrice.model).where(ModelPrice.model.in_(names), ModelPrice.valid_from <= func.now())
    known = set(db.session.scalars(priced))
    return [
        {"model": sums.model, "unpriced_requests": sums.unpriced, "has_price": sums.model in known}
        for sums in sorted(found, key=lambda sums: -sums.unpriced)
    ]
