"""Users: made, listed, switched off and given new keys by the admin; their own preference."""

from __future__ import annotations

from flask import Blueprint, Response

from shared_accounts.local.plugin_server.answers import Refused, success, told
from shared_accounts.local.plugin_server.rows import User, new_key, now
from shared_accounts.local.plugin_server.state import State
from shared_accounts.local.plugin_server.turn import ADMIN, Turn, Who, find_user, route

routes = Blueprint("users", __name__)
_NAME_LIMIT = 100


@route(routes, "GET", "/api/user/me")
def me(turn: Turn) -> Response:
    """Tell who asks; the admin is nobody in particular."""
    if turn.user is None:
        return success({"user_id": ADMIN})
    return success(told(turn.user, "user_id", "name", "prefer_shared", "status", "created_at", "updated_at"))


@route(routes, "POST", "/api/users", Who.ADMIN)
def create(turn: Turn) -> Response:
    """Make a user, and another one for the same name; a preference is not heard."""
    name = turn.field("name")
    if name is not None and len(str(name)) > _NAME_LIMIT:
        raise Refused(500, f"value too long for type character varying({_NAME_LIMIT})")
    user = User(name=None if name is None else str(name))
    turn.state.users[user.user_id] = user
    return success(told(user, "user_id", "api_key", "name", "created_at"), "用户创建成功")


@route(routes, "GET", "/api/users", Who.ADMIN)
def everybody(turn: Turn) -> Response:
    """List all users, newest first, without their keys."""
    columns = ("user_id", "name", "status", "created_at", "updated_at")
    return success([told(user, *columns) for user in reversed(turn.state.users.values())])


@route(routes, "POST", "/api/users/<user_id>/regenerate-key", Who.ADMIN)
def regenerate_key(turn: Turn, user_id: str) -> Response:
    """Give a user a new key; the old one dies at once."""
    user = _existing(turn.state, user_id)
    user.api_key, user.updated_at = new_key(), now()
    return success(told(user, "user_id", "api_key"), "API Key已重新生成")


@route(routes, "PUT", "/api/users/<user_id>/status", Who.ADMIN)
def switch(turn: Turn, user_id: str) -> Response:
    """Switch a user off or on."""
    status = turn.flag("status")
    user = _existing(turn.state, user_id)
    user.status, user.updated_at = status, now()
    return success(told(user, "user_id", "status"), f"用户状态已更新为{'启用' if status else '禁用'}")


@route(routes, "PUT", "/api/users/<user_id>/preference")
def prefer(turn: Turn, user_id: str) -> Response:
    """Set which accounts are tried first; whose setting it is comes before what it shall be."""
    if not turn.is_admin and turn.caller_id != user_id:
        raise Refused(403, "无权修改此用户的设置")
    preference = turn.flag("prefer_shared")
    user = _existing(turn.state, user_id)
    user.prefer_shared, user.updated_at = preference, now()
    first = "共享优先" if preference else "专属优先"
    return success(told(user, "user_id", "prefer_shared"), f"Cookie优先级已更新为{first}")


@route(routes, "DELETE", "/api/users/<user_id>", Who.ADMIN)
def delete(turn: Turn, user_id: str) -> Response:
    """Delete a user with her accounts and everything that was consumed on them, by whomever."""
    user = find_user(turn.state, user_id)
    if user is None:
        raise Refused(404, "用户不存在")
    turn.state.drop_user(user)
    return success(message="用户已删除")


def _existing(state: State, user_id: str) -> User:
    user = find_user(state, user_id)
    if user is None:
        raise Refused(500, f"用户不存在: user_id={user_id}")
    return user
