"""`./run.sh --with-plugin`: a Plug-in API server beside everything else, and every process told where it is."""

from __future__ import annotations

import dataclasses
import secrets

from shared_accounts.local import home
from shared_accounts.local.plan import Plan, read_port

PORT = "PLUGIN_PORT"
_BEHIND = 37
"""How far behind the web server's port: 8045, where such servers usually are, is so much more than 8008."""


def join(plan: Plan) -> Plan:
    """Add the server to a plan. One that the operator named is used as it is, and none of ours is started."""
    if plan.settings.get("PLUGIN_API_BASE_URL"):
        return plan
    port = read_port({PORT: str(plan.ports["PORT"] + _BEHIND), **plan.settings}, PORT)
    key = home.secret(plan.home, "PLUGIN_API_ADMIN_KEY", lambda: f"sk-admin-{secrets.token_urlsafe(36)}")
    settings = {"PLUGIN_API_ADMIN_KEY": key, **plan.settings, "PLUGIN_API_BASE_URL": f"http://127.0.0.1:{port}"}
    return dataclasses.replace(plan, settings=settings, ports={**plan.ports, PORT: port})
