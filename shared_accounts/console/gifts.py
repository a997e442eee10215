"""Give a part of one's quota to another member."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import g, render_template, request
from marshmallow import Schema
from sqlalchemy import func, select

from shared_accounts import live_settings
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console import forms
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import Conflict, NotFound, TooManyRequests, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.quotas import gifts, ledger
from shared_accounts.quotas.models import LedgerEntry, QuotaPool
from shared_accounts.quotas.schemas import NewGift
from shared_accounts.requests_in import settings

_A_DAY = timedelta(days=1)


@page("/quota/give")
def giving() -> Any:
    """Ask to whom, of which pool and how much; and say how much may still be given today."""
    return _asked({}, {"model_group": request.args.get("group", "")})


@act("/quota/give")
def give() -> Any:
    """Give it; nothing can be taken back."""
    refuse_silenced()
    typed = {name: request.form.get(name, "")[:300] for name in NewGift().fields}
    given, errors = _read(NewGift())
    if errors:
        return _asked(errors, typed), 422
    to, group, amount = given["to"], given["model_group"], given["units"]
    try:
        gifts.give(g.person.id, to, group, amount, note=given["note"], daily_limit=_limit())
    except NotFound as refusal:
        db.session.rollback()
        return _asked({"to": say("Nobody here has this name.")}, typed), refusal.status
    except (Conflict, TooManyRequests, Unprocessable) as refusal:
        db.session.rollback()
        return _asked(forms.wrong(refusal, otherwise="units"), typed), refusal.status
    db.session.commit()
    return back("quota", group=group, said="given")


def _read(schema: Schema) -> tuple[dict[str, Any], Errors]:
    return forms.load(schema, forms.values())


def _limit() -> int:
    return live_settings.current(settings()).gift_daily_limit


def _asked(errors: Errors, typed: dict[str, str]) -> str:
    pools, limit = ledger.pools_of(g.person.id), _limit()
    given = _given_today()
    return render_template(
        "screens/gift.html",
        pools=[(one, max(0, limit - given.get(one.id, 0))) for one in pools],
        limit=limit,
        errors=errors,
        filled=typed,
    )


def _given_today() -> dict[int, int]:
    """Return what each pool of the reader's has given today (UTC), in micro-units."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    mine = select(QuotaPool.id).where(QuotaPool.user_id == g.person.id)
    gone = (LedgerEntry.kind == "gift") & (LedgerEntry.amount < 0) & LedgerEntry.pool_id.in_(mine)
    today = (LedgerEntry.at >= midnight) & (LedgerEntry.at < midnight + _A_DAY)
    query = select(LedgerEntry.pool_id, -func.sum(LedgerEntry.amount)).where(gone, today).group_by(LedgerEntry.pool_id)
    return {pool: int(amount) for pool, amount in db.session.execute(query).tuples()}
