"""One request as a route sees it, and who may ask."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from flask import Blueprint, Response, current_app, g, request

from shared_accounts.local.plugin_server.answers import Refused
from shared_accounts.local.plugin_server.rows import User
from shared_accounts.local.plugin_server.state import State

ADMIN = "admin"
View = Callable[..., Response]


class Who(Enum):
    """Whom a route serves."""

    ANYONE = "anyone"
    CALLER = "caller"
    ADMIN = "admin"


@dataclass(frozen=True)
class Turn:
    """`body` is None where the framework leaves it undefined; `user` where the admin is asking."""

    state: State
    user: User | None
    body: dict[str, Any] | None

    @property
    def is_admin(self) -> bool:
        """Say whether the admin's key came, where a key was asked for."""
        return self.user is None

    @property
    def caller_id(self) -> str:
        """The caller's id, which for the admin is no id the database understands."""
        return self.user.user_id if self.user else ADMIN

    def member(self) -> User:
        """Return who is asking; the admin's id makes the database complain."""
        if self.user is None:
            raise uuid_refused(ADMIN)
        return self.user

    def field(self, name: str, default: Any = None) -> Any:
        """Read a field as JavaScript's destructuring does: without any body it throws."""
        if self.body is None:
            raise Refused(500, f"Cannot destructure property '{name}' of 'req.body' as it is undefined.")
        return self.body.get(name, default)

    def flag(self, name: str) -> int:
        """Read a field that must be the number 0 or 1."""
        value = self.field(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in {0, 1}:
            raise Refused(400, f"{name}必须是0或1")
        return int(value)


def the_state() -> State:
    """Return the running server's state."""
    return cast("State", current_app.extensions["plugin_server"])


def route(routes: Blueprint, method: str, rule: str, who: Who = Who.CALLER) -> Callable[[View], View]:
    """Serve a path; the view gets a `Turn` and its parameters, alone with the state."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def serve(**parameters: str) -> Response:
            state = the_state()
            with state.lock:
                user = _admit(state, who)
                return view(Turn(state, user, g.body), **parameters)

        routes.add_url_rule(rule, view.__name__, serve, methods=[method])
        return view

    return decorate


def uuid_refused(user_id: str) -> Refused:
    """Say what PostgreSQL says of an id that is none."""
    return Refused(500, f'invalid input syntax for type uuid: "{user_id}"')


def find_user(state: State, user_id: str) -> User | None:
    """Find a user; an id that is no uuid is the database's complaint."""
    try:
        uuid.UUID(user_id)
    except ValueError:
        raise uuid_refused(user_id) from None
    return state.users.get(user_id)


def credential(state: State) -> str:
    """Say whose key a request carries: `none`, `unknown`, `admin`, or a user's id."""
    header = request.headers.get("Authorization", "")
    key = header.removeprefix("Bearer ")
    if not header.startswith("Bearer "):
        return "none"
    if key == state.admin_key:
        return ADMIN
    user = state.user_of(key)
    return user.user_id if user else "unknown"


def _admit(state: State, who: Who) -> User | None:
    if who is Who.ANYONE:
        return None
    whose = credential(state)
    if whose == "none":
        raise Refused(401, "缺少Authorization请求头")
    if whose == "unknown":
        raise Refused(401, "无效的API Key")
    if whose != ADMIN and who is Who.ADMIN:
        raise Refused(403, "需要管理员权限")
    return state.users.get(whose)
