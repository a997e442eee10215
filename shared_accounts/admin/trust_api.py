"""/api/admin/trust-levels: what people of each trust level may do."""

from __future__ import annotations

from typing import Any

from shared_accounts.admin.gate import admin_acts
from shared_accounts.admin.schemas import TrustLevelChange, TrustLevelSchema
from shared_accounts.auth.guards import admin_only
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.users import standing
from shared_accounts.users.models import TrustLevel

blp = Door("admin-trust", __name__, url_prefix="/api/admin/trust-levels", description="For admins: limits by trust")


@blp.get("")
@admin_only
@blp.response(200, TrustLevelSchema(many=True))
def list_trust_levels() -> list[TrustLevel]:
    """List the trust levels, lowest first."""
    return standing.trust_levels()


@blp.patch("/<int:level>")
@admin_acts
@blp.arguments(TrustLevelChange)
@blp.response(200, TrustLevelSchema)
@blp.refuses(404, 422)
def change_trust_level(body: dict[str, Any], level: int) -> TrustLevel:
    """Change what people of a trust level may do, from their next request on; null lifts a limit."""
    changed = standing.change_trust_level(level, body)
    db.session.commit()
    return changed
