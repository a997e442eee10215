"""The control path, for whoever has the token given at the start."""

from __future__ import annotations

import hmac
from collections import Counter

from flask import Blueprint, Response, current_app, request

from shared_accounts.local.plugin_server.answers import Refused, as_json
from shared_accounts.local.plugin_server.control import BadControl
from shared_accounts.local.plugin_server.state import State
from shared_accounts.local.plugin_server.turn import the_state

routes = Blueprint("control", __name__, url_prefix="/_control")


@routes.before_request
def require_token() -> None:
    """Refuse everybody else; without a token there is nobody."""
    token = current_app.config["CONTROL_TOKEN"]
    if not token or not hmac.compare_digest(request.headers.get("X-Control-Token", "").encode(), token.encode()):
        raise Refused(403, "`X-Control-Token` is missing or wrong.")


@routes.post("")
def change() -> Response:
    """Set switches; 400 names what cannot be understood, and then nothing has changed."""
    wanted = request.get_json(silent=True)
    if not isinstance(wanted, dict):
        raise Refused(400, "The body must be a JSON object.")
    state = the_state()
    with state.lock:
        try:
            state.switches.change(wanted)
        except BadControl as bad:
            raise Refused(400, str(bad)) from bad
        _take_effect(state)
    return as_json({})


@routes.get("/seen")
def seen() -> Response:
    """Tell every request since the reset, in order, and how many users have each name."""
    state = the_state()
    with state.lock:
        names = Counter(user.name or "" for user in state.users.values())
        return as_json({"requests": state.switches.seen, "users": names})


@routes.post("/reset")
def reset() -> Response:
    """Forget everything."""
    state = the_state()
    with state.lock:
        state.reset()
    return as_json({})


def _take_effect(state: State) -> None:
    for account in state.accounts.values():
        if account.cookie_id in state.switches.disabled:
            account.status, account.need_refresh = 0, True
        for model, fraction in state.switches.fractions.items():
            if model in account.quotas:
                account.quotas[model].observe(fraction)
    state.switches.disabled = []
