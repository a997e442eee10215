"""/api/admin/users/{id}/...: somebody else's password, second factor and sessions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import g

from shared_accounts.admin import acts
from shared_accounts.admin.gate import admin_acts
from shared_accounts.admin.schemas import MadeUpPassword, NewPassword
from shared_accounts.auth import sessions
from shared_accounts.auth.guards import admin_only
from shared_accounts.auth.models import Session
from shared_accounts.auth.schemas import SessionSchema
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Done, Door
from shared_accounts.users import roster

blp = Door("admin-recovery", __name__, url_prefix="/api/admin/users", description="For admins: how people sign in")


@blp.post("/<int:user_id>/password")
@admin_acts
@blp.arguments(NewPassword)
@blp.response(200, MadeUpPassword)
@blp.refuses(404, 422, 429)
def set_password(body: dict[str, Any], user_id: int) -> dict[str, Any]:
    """Set somebody's password, or have one made up and shown, this once; all her sessions end."""
    username = roster.get(user_id).username
    db.session.rollback()  # no connection is kept while bcrypt runs
    made_up = acts.set_password(user_id, username, body["password"])
    db.session.commit()
    return {"password": made_up} if made_up else {}


@blp.delete("/<int:user_id>/second-factor")
@admin_acts
@blp.response(200, Done)
@blp.refuses(404)
def reset_second_factor(user_id: int) -> dict[str, Any]:
    """Take somebody's second factor and its recovery codes away, for when she has lost them; all her sessions end."""
    roster.get(user_id)
    was_there = acts.reset_second_factor(user_id)
    db.session.commit()
    message = "The second factor has been removed." if was_there else "There was no second factor."
    return {"message": message, "success": True}


@blp.get("/<int:user_id>/sessions")
@admin_only
@blp.response(200, SessionSchema(many=True))
@blp.refuses(404)
def list_user_sessions(user_id: int) -> list[Session]:
    """List where somebody is signed in, the session used last first."""
    found = sessions.live(roster.get(user_id).id)
    for one in found:
        one.is_current = one.id == g.person.session_id
    return found


@blp.delete("/<int:user_id>/sessions")
@admin_acts
@blp.response(200, Done)
@blp.refuses(404)
def end_user_sessions(user_id: int) -> dict[str, Any]:
    """End all of somebody's sessions; API keys go on."""
    acts.end_sessions(roster.get(user_id).id)
    db.session.commit()
    return {"message": "All sessions have been ended.", "success": True}


@blp.delete("/<int:user_id>/sessions/<uuid:session_id>")
@admin_acts
@blp.response(200, Done)
@blp.refuses(404)
def end_user_session(user_id: int, session_id: UUID) -> dict[str, Any]:
    """End one of somebody's sessions; its next request is refused."""
    acts.end_session(user_id, session_id)
    db.session.commit()
    return {"message": "The session has been ended.", "success": True}
