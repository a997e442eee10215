"""/api/accounts: what became of an account, who used it, and what would happen to a request now."""

from __future__ import annotations

from typing import Any

from flask import g
from marshmallow import Schema, fields, validate
from sqlalchemy import func, select

from shared_accounts.accounts import contribution, explain, standing
from shared_accounts.accounts.models import AccountEvent, AccountUse
from shared_accounts.auth.guards import signed_in
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door, Text
from shared_accounts.quotas import forecast, ledger, pricing, rules
from shared_accounts.quotas.pricing import Tokens
from shared_accounts.requests_in import settings
from shared_accounts.users import roster
from shared_accounts.users.models import User

blp = Door("account-life", __name__, url_prefix="/api/accounts", description="What became of accounts, and why")

_MOST_TOKENS = 10_000_000


class EventSchema(Schema):
    """One step in the life of an account."""

    at = fields.AwareDateTime()
    from_state = fields.String(allow_none=True)
    to_state = fields.String()
    reason = fields.String(allow_none=True)
    until = fields.AwareDateTime(allow_none=True, metadata={"description": "When a pause ends"})
    exchange_id = fields.UUID(allow_none=True, metadata={"description": "The exchange that caused it"})


class Days(Schema):
    """How far back."""

    days = fields.Integer(load_default=30, validate=validate.Range(1, 366))


class UseSchema(Schema):
    """Who used an account on a day (UTC), and how much; never what was said."""

    day = fields.Date()
    user = fields.String()
    calls = fields.Integer()
    tokens = fields.Integer()
    units = fields.String()
    last_at = fields.AwareDateTime()


class Question(Schema):
    """A request as it might be made; it may spend so many tokens."""

    model = Text(min=1, max=200, required=True)
    prompt_tokens = fields.Integer(strict=True, load_default=100, validate=validate.Range(0, _MOST_TOKENS))
    max_tokens = fields.Integer(
        strict=True, load_default=None, allow_none=True, validate=validate.Range(1, _MOST_TOKENS)
    )


class ConsideredSchema(Schema):
    """An account that serves the model."""

    account_id = fields.Integer(attribute="id")
    name = fields.String(allow_none=True, metadata={"description": "Of your own accounts only"})
    own = fields.Boolean()
    sharing = fields.String()
    under_way = fields.Integer(metadata={"description": "Exchanges on it at this moment"})
    cooling_until = fields.AwareDateTime(allow_none=True)
    why_not = fields.String(allow_none=True, metadata={"description": "Null: it may serve you now"})


class Explanation(Schema):
    """What would happen now."""

    model = fields.String()
    served = fields.Boolean()
    account_id = fields.Integer(allow_none=True, metadata={"description": "The first that would be tried"})
    free = fields.Boolean(metadata={"description": "It is your own and costs no quota"})
    estimate = fields.String(metadata={"description": "Units that would be reserved"})
    available = fields.String(metadata={"description": "Units that you have free for it"})
    reason = fields.String()
    candidates = fields.List(fields.Nested(ConsideredSchema))


@blp.get("/<int:account_id>/events")
@signed_in
@blp.response(200, EventSchema(many=True))
@blp.refuses(404)
def list_events(account_id: int) -> list[AccountEvent]:
    """List the last hundred steps in the life of one of your accounts, newest first, each with its cause."""
    return standing.events(contribution.mine(g.person.id, account_id).id)


@blp.get("/<int:account_id>/use")
@signed_in
@blp.arguments(Days, location="query")
@blp.response(200, UseSchema(many=True))
@blp.refuses(404, 422)
def list_use(query: dict[str, int], account_id: int) -> list[dict[str, Any]]:
    """List who used one of your accounts, day by day, newest first; a moment behind."""
    account = contribution.mine(g.person.id, account_id)
    since = func.current_date() - query["days"]
    found = (
        select(AccountUse, User.username)
        .join(User, User.id == AccountUse.user_id)
        .where(AccountUse.account_id == account.id, AccountUse.day > since)
        .order_by(AccountUse.day.desc(), AccountUse.cost.desc(), AccountUse.user_id)
    )
    return [
        {"day": row.day, "user": name, "calls": row.calls, "tokens": row.tokens, "last_at": row.last_at}
        | {"units": forecast.units(row.cost)}
        for row, name in db.session.execute(found.limit(5000)).tuples()
    ]


@blp.post("/explain")
@signed_in
@blp.arguments(Question)
@blp.response(200, Explanation)
@blp.refuses(422)
def explain_choice(body: dict[str, Any]) -> dict[str, Any]:
    """Tell what would happen to a request now: which account would serve it, and why each other one would not.

    Nothing is sent, reserved or spent. Other people's accounts are numbers.
    """
    in_force, user = settings(), roster.get(g.person.id)
    most = body["max_tokens"] or in_force.default_completion_tokens
    rule = rules.rule_of(body["model"], reference=in_force.reference_allowance_tokens)
    estimate, group = pricing.cost(Tokens(body["prompt_tokens"], most), rule), rule.group
    free = sum(pool.balance - pool.reserved for pool in ledger.pools_of(user.id) if pool.model_group == group)
    short = forecast.shortage(user.id, group, estimate).message
    candidates = explain.considered(user, rule.model, group, reference=rule.reference)
    for one in candidates:
        if one["why_not"] is None and not one["own"] and free < estimate:
            one["why_not"] = "your quota does not hold it"
    first = next((one for one in candidates if one["why_not"] is None), None)
    return {
        "model": body["model"],
        "served": first is not None,
        "account_id": first and first["id"],
        "free": bool(first and first["own"]),
        "estimate": forecast.units(estimate),
        "available": forecast.units(free),
        "reason": _reason(first, candidates, short),
        "candidates": candidates,
    }


def _reason(first: dict[str, Any] | None, candidates: list[dict[str, Any]], short: str) -> str:
    if first is not None:
        return "It is your own and costs no quota." if first["own"] else "It is the least busy that may serve you."
    if not candidates:
        return "No account here serves this model."
    if any(one["why_not"] == "your quota does not hold it" for one in candidates):
        return short
    return "No account can serve it now; each says why."
