"""/api/admin/invitations: codes that let people sign up."""

from __future__ import annotations

from typing import Any

from flask import g
from flask_smorest.pagination import PaginationParameters

from shared_accounts.admin.gate import admin_acts
from shared_accounts.admin.schemas import InvitationSchema, IssuedInvitation, NewInvitation
from shared_accounts.auth.guards import admin_only
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door
from shared_accounts.users import invitations
from shared_accounts.users.models import Invitation

blp = Door("admin-invitations", __name__, url_prefix="/api/admin/invitations", description="For admins: invitations")


@blp.get("")
@admin_only
@blp.response(200, InvitationSchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
def list_invitations(pagination_parameters: PaginationParameters) -> list[Invitation]:
    """List invitations, newest first, without their codes."""
    page = pagination_parameters
    found, page.item_count = invitations.page(page.page, page.page_size)
    return [_shown(invitation, state) for invitation, state in found]


@blp.post("")
@admin_acts
@blp.arguments(NewInvitation)
@blp.response(201, IssuedInvitation)
@blp.refuses(422)
def create_invitation(body: dict[str, Any]) -> Invitation:
    """Make an invitation for one or more people; the answer holds its code, for the only time."""
    invitation, code = invitations.invite(g.person.id, **body)
    db.session.commit()
    invitation.code = code
    return _shown(invitation, "open")


@blp.delete("/<int:invitation_id>")
@admin_acts
@blp.response(200, Done)
@blp.refuses(404)
def revoke_invitation(invitation_id: int) -> dict[str, Any]:
    """Revoke an invitation; who came by it stays."""
    invitations.revoke(invitation_id)
    db.session.commit()
    return {"message": "The invitation has been revoked.", "success": True}


def _shown(invitation: Invitation, state: str) -> Invitation:
    invitation.state = state
    return invitation
