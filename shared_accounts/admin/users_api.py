"""/api/admin/users: who is here, letting somebody in, and what she may do."""

from __future__ import annotations

from typing import Any

from flask_smorest.pagination import PaginationParameters
from sqlalchemy import Row

from shared_accounts.admin import acts, people
from shared_accounts.admin.gate import admin_acts
from shared_accounts.admin.schemas import NewPerson, PeopleFilters, PersonChange, PersonSchema, RegisteredPerson
from shared_accounts.auth.guards import admin_only
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.users import roster, standing

blp = Door("admin-users", __name__, url_prefix="/api/admin/users", description="For admins: people")


@blp.get("")
@admin_only
@blp.arguments(PeopleFilters, location="query")
@blp.response(200, PersonSchema(many=True))
@blp.paginate(page_size=50, max_page_size=200)
@blp.refuses(422)
def list_users(filters: dict[str, Any], pagination_parameters: PaginationParameters) -> list[Row[Any]]:
    """List people, newest first; `search` is a part of the name."""
    page = pagination_parameters
    found, page.item_count = people.page(page.page, page.page_size, **filters)
    return found


@blp.post("")
@admin_acts
@blp.arguments(NewPerson)
@blp.response(201, RegisteredPerson)
@blp.refuses(409, 422, 429)
def create_user(body: dict[str, Any]) -> dict[str, Any]:
    """Let somebody in; without a password we make one up, and the answer shows it, this once."""
    db.session.rollback()  # no connection is kept while bcrypt runs
    user, made_up = acts.register(body["username"], body["password"], role=body["role"], how="admin")
    if "trust_level" in body:
        standing.set_trust(user, body["trust_level"])
    shown = people.get(user.id)
    db.session.commit()
    return {"user": shown, **({"password": made_up} if made_up else {})}


@blp.get("/<int:user_id>")
@admin_only
@blp.response(200, PersonSchema)
@blp.refuses(404)
def show_user(user_id: int) -> Row[Any]:
    """Show somebody."""
    return people.get(user_id)


@blp.patch("/<int:user_id>")
@admin_acts
@blp.arguments(PersonChange)
@blp.response(200, PersonSchema)
@blp.refuses(404, 409, 422)
def change_user(body: dict[str, Any], user_id: int) -> Row[Any]:
    """Change what somebody may do, from her very next request on.

    What you decide about her state or her trust level no sign-in provider changes, until you send
    `"state_by_hand": false` or `"trust_by_hand": false`. The last active admin stays one: 409.
    """
    user = roster.get(user_id)
    if "state" in body:
        standing.set_state(user, body["state"])
    if "role" in body:
        standing.set_role(user, body["role"])
    if "trust_level" in body:
        standing.set_trust(user, body["trust_level"])
    standing.let_provider_decide(user, state="state_by_hand" in body, trust="trust_by_hand" in body)
    shown = people.get(user_id)
    db.session.commit()
    return shown
