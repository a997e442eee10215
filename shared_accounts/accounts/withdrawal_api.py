"""/api/accounts/{id}: take an account out for good."""

from __future__ import annotations

from flask import g

from shared_accounts.accounts import contribution, withdrawal
from shared_accounts.audit import trail
from shared_accounts.auth.guards import signed_in
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door

blp = Door("withdrawing", __name__, url_prefix="/api/accounts", description="Taking an account out for good")


@blp.delete("/<int:account_id>")
@signed_in
@blp.response(204)
@blp.refuses(401, 403, 404)
def delete(account_id: int) -> None:
    """Withdraw an account: its credential is erased and exactly the quota it was credited goes back."""
    withdrawal.withdraw(contribution.mine(g.person.id, account_id))
    trail.record("account.withdrawn", on=g.person.id, target=f"account:{account_id}")
    db.session.commit()
