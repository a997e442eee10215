"""Accounts: every refusal in its order, the body (400), then whether it exists (404), then whose it is (403)."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response

from shared_accounts.local.plugin_server import pool
from shared_accounts.local.plugin_server.answers import Refused, success, told
from shared_accounts.local.plugin_server.rows import Account, now
from shared_accounts.local.plugin_server.state import State
from shared_accounts.local.plugin_server.turn import Turn, route

routes = Blueprint("accounts", __name__)
_NAME_LIMIT = 100
_BEFORE_USE = (
    "cookie_id",
    "user_id",
    "name",
    "is_shared",
    "status",
    "need_refresh",
    "expires_at",
    "project_id_0",
    "is_restricted",
    "paid_tier",
    "ineligible",
)
_AFTER_USE = ("created_at", "updated_at")
_QUOTA = (
    "quota_id",
    "cookie_id",
    "model_name",
    "reset_time",
    "quota",
    "status",
    "last_fetched_at",
    "created_at",
)


@route(routes, "GET", "/api/accounts")
def mine(turn: Turn) -> Response:
    """List the caller's accounts, newest first, with when they were last used."""
    accounts = reversed(turn.state.accounts_of(turn.member().user_id))
    return success(
        [
            {
                **told(account, *_BEFORE_USE),
                "last_used_at": _last_used(turn.state, account),
                **told(account, *_AFTER_USE),
            }
            for account in accounts
        ]
    )


@route(routes, "GET", "/api/accounts/<cookie_id>")
def one(turn: Turn, cookie_id: str) -> Response:
    """Show an account, without when it was last used."""
    account = _owned(turn, cookie_id, "无权访问此账号")
    return success(told(account, *_BEFORE_USE, *_AFTER_USE))


@route(routes, "PUT", "/api/accounts/<cookie_id>/status")
def switch(turn: Turn, cookie_id: str) -> Response:
    """Switch an account off or on; a shared one takes its credit along, both ways at today's fraction."""
    status = turn.flag("status")
    account = _owned(turn, cookie_id, "无权修改此账号")
    if account.status == status:
        return success(told(account, "cookie_id", "status"), "账号状态未变化")
    account.status, account.updated_at = status, now()
    if account.is_shared == 1:
        (pool.credit if status else pool.take_back)(turn.state, account)
    return success(told(account, "cookie_id", "status"), f"账号状态已更新为{'启用' if status else '禁用'}")


@route(routes, "PUT", "/api/accounts/<cookie_id>/name")
def rename(turn: Turn, cookie_id: str) -> Response:
    """Rename an account, to nothing if that is wanted."""
    name = turn.field("name")
    if name is None:
        raise Refused(400, "name是必需的")
    if not isinstance(name, str) or len(name) > _NAME_LIMIT:
        raise Refused(400, f"name必须是字符串且长度不超过{_NAME_LIMIT}")
    account = _owned(turn, cookie_id, "无权修改此账号")
    account.name, account.updated_at = name, now()
    return success(told(account, "cookie_id", "name"), "账号名称已更新")


@route(routes, "PUT", "/api/accounts/<cookie_id>/type")
def convert(turn: Turn, cookie_id: str) -> Response:
    """Make an account shared or dedicated, whether it is switched on or not."""
    is_shared = turn.flag("is_shared")
    account = _owned(turn, cookie_id, "无权修改此账号")
    if account.is_shared == is_shared:
        return success(told(account, "cookie_id", "is_shared"), "账号类型未变化")
    account.is_shared, account.updated_at = is_shared, now()
    (pool.credit if is_shared else pool.take_back)(turn.state, account)
    return success(told(account, "cookie_id", "is_shared"), f"账号类型已更新为{'共享' if is_shared else '专属'}")


@route(routes, "DELETE", "/api/accounts/<cookie_id>")
def delete(turn: Turn, cookie_id: str) -> Response:
    """Delete an account, and with it everything that was consumed on it."""
    account = _owned(turn, cookie_id, "无权删除此账号")
    if account.is_shared == 1:
        pool.take_back(turn.state, account)
    turn.state.drop_account(account)
    return success(message="账号已删除")


@route(routes, "GET", "/api/accounts/<cookie_id>/quotas")
def quotas(turn: Turn, cookie_id: str) -> Response:
    """Tell what is left of each model, least first, as the provider says it now."""
    account = _owned(turn, cookie_id, "无权访问此账号的配额信息")
    for row in account.quotas.values():
        row.last_fetched_at = now()
    return success([told(row, *_QUOTA) for row in sorted(account.quotas.values(), key=lambda row: row.quota)])


@route(routes, "PUT", "/api/accounts/<cookie_id>/quotas/<path:model_name>/status")
def switch_model(turn: Turn, cookie_id: str, model_name: str) -> Response:
    """Switch one model of an account off or on; the only cure for one that was ever exhausted."""
    status = turn.flag("status")
    account = _owned(turn, cookie_id, "无权修改此账号的配额")
    row = account.quotas.get(model_name)
    if row is None:
        raise Refused(500, f"配额记录不存在: cookie_id={cookie_id}, model_name={model_name}")
    row.status = status
    return success(
        told(row, "cookie_id", "model_name", "status"), f"模型配额状态已更新为{'启用' if status else '禁用'}"
    )


def _owned(turn: Turn, cookie_id: str, refusal: str) -> Account:
    account = turn.state.accounts.get(cookie_id)
    if account is None:
        raise Refused(404, "账号不存在")
    if not turn.is_admin and account.user_id != turn.caller_id:
        raise Refused(403, refusal)
    return account


def _last_used(state: State, account: Account) -> datetime | None:
    times = [one.consumed_at for one in state.consumptions if one.cookie_id == account.cookie_id]
    return max(times, default=None)
