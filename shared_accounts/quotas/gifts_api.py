"""/api/quotas/gifts: give a part of one's quota to another member."""

from __future__ import annotations

from typing import Any

from flask import g

from shared_accounts import live_settings
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.quotas import gifts
from shared_accounts.quotas.forecast import units
from shared_accounts.quotas.schemas import GiftSchema, NewGift
from shared_accounts.requests_in import settings

blp = Door("gifts", __name__, url_prefix="/api/quotas/gifts", description="Quota given to other members")


@blp.post("")
@signed_in
@blp.arguments(NewGift)
@blp.response(201, GiftSchema)
@blp.refuses(404, 409, 422, 429)
def give(body: dict[str, Any]) -> dict[str, Any]:
    """Give another member a part of your free quota, into her pool for the same model group.

    She must have room for it below her capacity (409 says how much would fit), you a limit for each model group and
    day (429). A pool that owes neither gives nor receives. Nothing can be taken back.
    """
    refuse_silenced()
    limit = live_settings.current(settings()).gift_daily_limit
    gift = gifts.give(g.person.id, body["to"], body["model_group"], body["units"], note=body["note"], daily_limit=limit)
    shown = {
        "to": gift.to,
        "model_group": gift.pool.model_group,
        "units": units(gift.amount),
        "note": body["note"],
        "balance": units(gift.pool.balance),
        "available": units(gift.pool.balance - gift.pool.reserved),
        "left_today": units(gift.left_today),
    }
    db.session.commit()
    return shown
