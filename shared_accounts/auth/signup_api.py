"""/api/auth: signing up."""

from __future__ import annotations

from typing import Any

from shared_accounts import live_settings
from shared_accounts.auth import signin, throttle
from shared_accounts.auth.api import arrived
from shared_accounts.auth.schemas import Name, NameTaken, SignedIn, SignUp
from shared_accounts.errors import NotSignedIn
from shared_accounts.json_bodies import Door
from shared_accounts.requests_in import settings
from shared_accounts.users import roster

blp = Door("sign-up", __name__, url_prefix="/api/auth", description="Signing up")


@blp.post("/register")
@blp.arguments(SignUp)
@blp.response(201, SignedIn)
@blp.refuses(403, 409, 422, 429)
def register(body: dict[str, Any]) -> dict[str, Any]:
    """Sign up, where that is open or with an invitation code, and be signed in.

    A refused sign-up spends no invitation.
    """
    throttle.visit()
    in_force = live_settings.current(settings())
    user = signin.sign_up(body["username"], body["password"], body["invitation_code"], in_force)
    return arrived(user, "password")


@blp.get("/check-username")
@blp.arguments(Name, location="query")
@blp.response(200, NameTaken)
@blp.refuses(401, 422, 429)
def check_username(query: dict[str, str]) -> dict[str, Any]:
    """Tell whether a name is taken: strangers, a few times a minute, and only while anybody may sign up."""
    throttle.visit()
    if live_settings.current(settings()).registration == "closed":
        raise NotSignedIn
    taken = roster.find_by_username(query["username"]) is not None
    message = "This user name is taken." if taken else "This user name is free."
    return {"exists": taken, "message": message, "username": query["username"]}
