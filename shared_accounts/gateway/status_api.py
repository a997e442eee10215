"""GET /v1/usage: how the key or the person who asks stands; for status bars and scripts."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from shared_accounts.auth import guards
from shared_accounts.gateway import key_limits, status

blueprint = Blueprint("status", __name__)


@blueprint.get("/v1/usage")
def usage() -> Response:
    """Show the limits and budgets of this key, what is used of each and when it resets, and its owner's pools."""
    caller = guards.caller()
    key_limits.refuse(caller, request.remote_addr)
    return jsonify(status.of(caller))
