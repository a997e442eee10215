"""How a user adds an account: off to Google, played by a page of ours, and back with an address to paste.

Who consents there is named by `login_hint` in the page's address, or by a `code` made up. The name decides how it ends:

    invalid-grant, ineligible, no-project, unknown-error, reason-X   refused, each in its own words
    deny                                                             comes back with `error=access_denied`
    restricted..., paid..., tier-unknown..., no-models...            an account with this peculiarity
    anything else                                                    an ordinary free account
"""

from __future__ import annotations

import hashlib
import html
import uuid
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from shared_accounts.local.plugin_server import pool
from shared_accounts.local.plugin_server.answers import Refused, success, told
from shared_accounts.local.plugin_server.rows import Account, PendingConsent, now
from shared_accounts.local.plugin_server.state import STATE_LIFETIME, State
from shared_accounts.local.plugin_server.turn import ADMIN, Turn, Who, route, the_state, uuid_refused

routes = Blueprint("oauth", __name__)
CALLBACK_URL = "http://localhost:42532/oauth-callback"
"""Where Google sends the browser; nothing listens there, so people copy the address."""
_INELIGIBLE = {
    "ineligible": "INELIGIBLE_ACCOUNT",
    "no-project": "NO_PROJECT_AND_FREE_TIER",
    "unknown-error": "UNKNOWN_ERROR",
}


@route(routes, "POST", "/api/oauth/authorize")
def authorize(turn: Turn) -> Response:
    """Begin; whatever `is_shared` says is believed."""
    is_shared = turn.field("is_shared", 0)
    state = str(uuid.uuid4())
    turn.state.pending[state] = PendingConsent(turn.caller_id, is_shared, now() + STATE_LIFETIME)
    query = {"response_type": "code", "redirect_uri": CALLBACK_URL, "state": state, "access_type": "offline"}
    url = f"{request.host_url}_google/auth?{urlencode(query)}"
    return success({"auth_url": url, "state": state, "expires_in": int(STATE_LIFETIME.total_seconds())})


@routes.get("/_google/auth")
def google() -> AnyResponse:
    """Play Google's page, where everybody consents at once; `login_hint` says who does."""
    state = the_state()
    with state.lock:
        who = request.args.get("login_hint") or f"someone-{state.next_id()}"
    outcome = {"error": "access_denied"} if who == "deny" else {"code": who}
    return redirect(f"{CALLBACK_URL}?{urlencode({'state': request.args.get('state', ''), **outcome})}")


@route(routes, "GET", "/api/oauth/callback", Who.ANYONE)
def callback(turn: Turn) -> Response:
    """Finish for whoever brings the browser, in pages; unlike the original, with everything in them escaped."""
    error = request.args.get("error")
    code, state = request.args.get("code"), request.args.get("state")
    if error or not code or not state:
        return _page(f"OAuth授权失败: {error}" if error else "缺少code或state参数", 400)
    try:
        account = _add(turn.state, code, state)
    except Refused as refused:
        return _page(str(refused.body["error"]), 500)
    return _page(f"账号添加成功 Cookie ID: {account.cookie_id}", 200)


@route(routes, "POST", "/api/oauth/callback/manual")
def paste(turn: Turn) -> Response:
    """Finish with the address that was copied, for whoever began: who pastes is not compared."""
    query = _pasted(turn.field("callback_url"))
    if "error" in query:
        raise Refused(400, f"OAuth授权失败: {query['error']}")
    if not query.get("code") or not query.get("state"):
        raise Refused(400, "回调URL中缺少code或state参数")
    account = _add(turn.state, query["code"], query["state"])
    columns = ("cookie_id", "user_id", "is_shared", "project_id_0", "is_restricted", "ineligible", "created_at")
    return success(told(account, *columns), "账号添加成功")


def _pasted(url: Any) -> dict[str, str]:
    if not url:
        raise Refused(400, "缺少callback_url参数")
    try:
        parts = urlsplit(str(url))
    except ValueError:
        raise Refused(400, "无效的URL格式") from None
    if not parts.scheme or not (parts.netloc or parts.path):
        raise Refused(400, "无效的URL格式")
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


def _add(state: State, code: str, key: str) -> Account:
    """Make the account; a refusal that is known spends the state, Google's own failure does not."""
    pending = state.pending.get(key)
    if pending is None or pending.until < now():
        raise Refused(500, "Invalid or expired state parameter")
    if code == "invalid-grant":
        raise Refused(500, 'HTTP 400: {"error":"invalid_grant","error_description":"Malformed auth code."}')
    del state.pending[key]
    _require_eligible(code)
    email = f"{code}@google.test"
    if any(account.email == email for account in state.accounts.values()):
        raise Refused(500, f"此邮箱已被添加过: {email}")
    account = _insert(state, pending, code, email)
    if pending.is_shared == 1 and isinstance(pending.is_shared, int | float) and pending.is_shared is not True:
        pool.credit(state, account)
    return account


def _require_eligible(code: str) -> None:
    reason = code.removeprefix("reason-") if code.startswith("reason-") else _INELIGIBLE.get(code)
    if reason:
        raise Refused(500, f"此账号没有资格使用Antigravity: {reason}")


def _insert(state: State, pending: PendingConsent, code: str, email: str) -> Account:
    if pending.user_id == ADMIN:
        raise uuid_refused(ADMIN)
    if pending.user_id not in state.users:
        raise Refused(500, 'insert or update on table "accounts" violates foreign key constraint')
    restricted = code.startswith("restricted")
    account = Account(
        # Of the refresh token, which is another one after each consent.
        cookie_id=hashlib.sha256(f"{email} {state.next_id()}".encode()).hexdigest()[:32],
        user_id=pending.user_id,
        email=email,
        name=email,
        is_shared=_smallint(pending.is_shared),
        is_restricted=restricted,
        project_id_0="" if restricted else "project-of-google",
        paid_tier=None if code.startswith("tier-unknown") else restricted or code.startswith("paid"),
    )
    state.accounts[account.cookie_id] = account
    if not code.startswith("no-models"):
        state.give_quotas(account)
    return account


def _smallint(value: object) -> int:
    """Store what was sent as the database would."""
    try:
        return int(str(value))
    except ValueError:
        raise Refused(500, f'invalid input syntax for type smallint: "{value}"') from None


def _page(text: str, status: int) -> Response:
    page = f"<!DOCTYPE html><html><body><h1>{html.escape(text)}</h1></body></html>"
    return Response(page, status, content_type="text/html; charset=utf-8")
