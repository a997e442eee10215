"""/api/accounts/{id}: take an account out for good."""

from __future__ import annotations

from flask import g
from marshmallow import Schema, fields, validate

from shared_accounts.accounts import contribution, withdrawal
from shared_accounts.audit import trail
from shared_accounts.auth.guards import signed_in
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door

FINISH, CUT_OFF = "finish", "cut_off"

blp = Door("withdrawing", __name__, url_prefix="/api/accounts", description="Taking an account out for good")


class WithdrawalQuery(Schema):
    """What becomes of the exchanges that are under way on it."""

    running = fields.String(
        load_default=FINISH,
        validate=validate.OneOf([FINISH, CUT_OFF]),
        metadata={"description": "What becomes of the exchanges under way: they may finish, or are cut off"},
    )


@blp.delete("/<int:account_id>")
@signed_in
@blp.arguments(WithdrawalQuery, location="query")
@blp.response(204)
@blp.refuses(401, 403, 404, 422)
def delete(query: dict[str, str], account_id: int) -> None:
    """Withdraw an account: its credential is erased and exactly the quota it was credited goes back.

    It serves nobody new. Exchanges under way may finish first, the account is `draining` meanwhile; with
    `running=cut_off` they end within moments, with an error, at the cost of what was used. That may be asked for while
    it drains, too.
    """
    withdrawn(account_id, cut_off=query["running"] == CUT_OFF)


def withdrawn(account_id: int, *, cut_off: bool) -> str:
    """Withdraw one of the caller's accounts, leave word of it, and return the state it is in then."""
    account = contribution.mine(g.person.id, account_id)
    withdrawal.withdraw(account, cut_off=cut_off)
    state = account.state
    trail.record("account.withdrawn", on=g.person.id, target=f"account:{account_id}", cut_off=cut_off)
    db.session.commit()
    return state
