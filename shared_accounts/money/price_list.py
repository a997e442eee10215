"""The list of prices: versions are added, never changed; recomputing lines by them is `usage/repricing`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import aliased

from shared_accounts.audit import trail
from shared_accounts.extensions import db
from shared_accounts.money.amounts import exactly
from shared_accounts.money.models import ModelPrice

_LIST_LOCK = 0x5A06  # any number, as long as nobody else locks it


def lay_down(
    model: str, *, currency: str, amounts: tuple[int, int, int], since: datetime | None, actor_id: int | None
) -> tuple[ModelPrice, bool]:
    """Add a version, for prompts, completions and cached tokens; returns it and whether it is new.

    Without `since` it is valid from now on. Terms that count at that moment anyway add nothing: so laying a price down
    twice is harmless. The audit log keeps who did it.
    """
    db.session.execute(select(func.pg_advisory_xact_lock(_LIST_LOCK)))
    moment = since or db.session.scalar(select(func.now()))
    known = db.session.scalar(_counting(model, moment))
    kinds = dict(zip(("prompt", "completion", "cached"), amounts, strict=True))
    terms: dict[str, Any] = {"currency": currency, **kinds}
    if known is not None and all(getattr(known, name) == value for name, value in terms.items()):
        return known, False
    added = ModelPrice(model=model, valid_from=moment, laid_down_by=actor_id, **terms)
    db.session.add(added)
    db.session.flush()
    facts: dict[str, Any] = {"version": added.id, "currency": currency}
    facts |= {name: exactly(amount) for name, amount in kinds.items()}
    trail.record("model_price.laid_down", target=f"model:{model}", actor=actor_id, **facts)
    return added, True


def versions(model: str | None = None, *, only_counting: bool = False) -> Select[tuple[ModelPrice, bool]]:
    """Return the query for versions, each with whether it counts now: by model, the one valid from the latest first."""
    query = select(ModelPrice, counts().label("counts"))
    if model is not None:
        query = query.where(ModelPrice.model == model)
    if only_counting:
        query = query.where(counts())
    return query.order_by(ModelPrice.model, ModelPrice.valid_from.desc(), ModelPrice.id.desc())


def counts() -> ColumnElement[bool]:
    """Return the condition that a version counts now."""
    other = aliased(ModelPrice)
    valid = and_(other.model == ModelPrice.model, other.valid_from <= func.now())
    ranked = select(other.id).where(valid).order_by(other.valid_from.desc(), other.id.desc()).limit(1)
    return ModelPrice.id == ranked.correlate(ModelPrice).scalar_subquery()


def _counting(model: str, moment: datetime | None) -> Select[tuple[ModelPrice]]:
    valid = and_(ModelPrice.model == model, ModelPrice.valid_from <= moment)
    return select(ModelPrice).where(valid).order_by(ModelPrice.valid_from.desc(), ModelPrice.id.desc()).limit(1)
