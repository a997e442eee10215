"""Lay down rules for models, and lift them.

Invariants: an alias leads straight to a model, never to another alias; and all rules of one model group name the same
reference, or none. Changes take turns, so two at once break neither.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import func, select

from shared_accounts.audit import trail
from shared_accounts.errors import NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.quotas.models import ModelRule
from shared_accounts.quotas.pricing import STANDARD

_RULES_LOCK = 0x5A03  # any number, as long as nobody else locks it


def make_alias(model: str, target: str) -> bool:
    """Let a name stand for a model and nothing else; returns whether that is new. Raises `Unprocessable`."""
    _take_turns()
    if target == model:
        raise Unprocessable("A model cannot be an alias of itself.", field="alias_of")
    if db.session.scalar(select(ModelRule.alias_of).where(ModelRule.model == target)) is not None:
        raise Unprocessable("This is an alias itself; name the model it stands for.", field="alias_of")
    if db.session.scalar(select(ModelRule.model).where(ModelRule.alias_of == model).limit(1)) is not None:
        raise Unprocessable("Other names are aliases of this model; it cannot be one itself.", field="alias_of")
    return _write(model, alias_of=target, group=None, reference=None, weights=STANDARD)


def lay_down(
    model: str, *, group: str | None, weights: tuple[int, int, int], reference: int | Literal["stays"] | None = "stays"
) -> bool:
    """Say which group pays for a model (none: its own) and what its tokens weigh, in thousandths.

    The reference, in weighted tokens, becomes the whole group's; none gives the group back to the standard one. Returns
    whether anything is new.
    """
    _take_turns()
    group = group or model
    in_group = func.coalesce(ModelRule.model_group, ModelRule.model) == group
    members = select(ModelRule).where(ModelRule.alias_of.is_(None), in_group)
    found = list(db.session.scalars(members.execution_options(populate_existing=True)))
    if reference == "stays":
        reference = found[0].reference_tokens if found else None
    changed = _write(
        model, alias_of=None, group=None if group == model else group, reference=reference, weights=weights
    )
    for member in found:
        member.reference_tokens = reference
    db.session.flush()
    return changed


def lift(model: str) -> None:
    """Give a model back to the standard rule, or forget an alias; raises `NotFound` when nothing was laid down."""
    _take_turns()
    row = db.session.get(ModelRule, model, populate_existing=True)
    if row is None:
        raise NotFound
    db.session.delete(row)
    trail.record("model_rule.lifted", target=f"model:{model}")
    db.session.flush()


def _write(
    model: str, *, alias_of: str | None, group: str | None, reference: int | None, weights: tuple[int, int, int]
) -> bool:
    terms: dict[str, Any] = {"alias_of": alias_of, "model_group": group, "reference_tokens": reference} | {
        f"{name}_weight": weight for name, weight in zip(("prompt", "completion", "cached"), weights, strict=True)
    }
    row = db.session.get(ModelRule, model, populate_existing=True)
    if row is not None and all(getattr(row, name) == value for name, value in terms.items()):
        return False
    row = row or ModelRule(model=model)
    for name, value in terms.items():
        setattr(row, name, value)
    db.session.add(row)
    trail.record("model_rule.changed", target=f"model:{model}", **terms)
    db.session.flush()
    return True


def _take_turns() -> None:
    """Let nobody else change rules until this transaction ends."""
    db.session.execute(select(func.pg_advisory_xact_lock(_RULES_LOCK)))
