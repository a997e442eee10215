"""The Plug-in API, one method per endpoint we use (chat is the gateway's).

Answers come back as the Plug-in's JSON object, `{"success", "message"?, "data"?}`, numbers and strings as it wrote
them. Every method raises `PluginRefused` or `PluginUnreachable`, nothing else.

Invariant: the operator's key and a user's key never meet. `PluginAdmin` can ask below `/api/users` only, and whatever
serves a user is asked with her own key, by `PluginUser`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared_accounts.plugin import reading
from shared_accounts.plugin.connection import Limits, PluginConnection, credential, path
from shared_accounts.plugin.failures import PluginRefused, PluginUnreachable

__all__ = ["Counterpart", "PluginAdmin", "PluginConnection", "PluginRefused", "PluginUnreachable", "PluginUser"]

_LONGEST_NAME = 100
_USER_ID = re.compile(r"[\x21-\x7e]{1,100}")


class Counterpart(NamedTuple):
    """A user as the Plug-in knows her: `user_id, api_key`. The key is a secret, and is said only here."""

    user_id: str
    api_key: str

    def __repr__(self) -> str:
        return f"Counterpart(user_id={self.user_id!r})"


class PluginAdmin:
    """The Plug-in's users, managed with the operator's key; raises `ValueError` for a key no header can hold."""

    def __init__(self, connection: PluginConnection, admin_key: str) -> None:
        self._connection = connection
        self._key = credential(admin_key)

    def __repr__(self) -> str:
        return f"<PluginAdmin by {self._connection!r}>"

    def create_user(self, name: str) -> Counterpart:
        """Create a user; of her name the first hundred characters count, there is no room for more.

        Twice makes two of her. After `PluginUnreachable` nobody knows whether there is one.
        """
        return _counterpart(self._ask("POST", body={"name": name[:_LONGEST_NAME]}))

    def list_users(self) -> list[dict[str, Any]]:
        """Return every user, `{user_id, name, status, created_at, updated_at}`; never her key."""
        users = self._ask("GET").get("data")
        if not isinstance(users, list) or not all(isinstance(user, dict) for user in users):
            raise PluginUnreachable
        return users

    def regenerate_key(self, user_id: str) -> Counterpart:
        """Give a user a new key; the old one dies at once. An unknown user is refused with 500, `Kind.NO_USER`."""
        return _counterpart(self._ask("POST", user_id, "regenerate-key"))

    def set_status(self, user_id: str, status: int) -> dict[str, Any]:
        """Let a user in (1) or keep her out (0)."""
        return self._ask("PUT", user_id, "status", body={"status": status})

    def delete_user(self, user_id: str) -> dict[str, Any]:
        """Delete a user with her accounts, and whatever anybody consumed on them."""
        return self._ask("DELETE", user_id)

    def _ask(self, method: str, *segments: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        where = path("api", "users", *segments)
        return self._connection.ask(method, where, credential=self._key, body=body)


class PluginUser:
    """What a user has at the Plug-in, by her own key; raises `ValueError` for a key no header can hold."""

    def __init__(self, connection: PluginConnection, api_key: str) -> None:
        self._connection = connection
        self._key = credential(api_key)

    def __repr__(self) -> str:
        return f"<PluginUser by {self._connection!r}>"

    def me(self) -> dict[str, Any]:
        """Return herself, `prefer_shared` among the rest."""
        return self._ask("GET", path("api", "user", "me"))

    def set_preference(self, user_id: str, prefer_shared: int) -> dict[str, Any]:
        """Let shared accounts go first (1) or her own (0); the id is her own."""
        return self._ask("PUT", path("api", "users", user_id, "preference"), {"prefer_shared": prefer_shared})

    def oauth_authorize(self, is_shared: int) -> dict[str, Any]:
        """Begin to add an account, shared (1) or her own (0): `data{auth_url, state, expires_in}`."""
        return self._ask("POST", path("api", "oauth", "authorize"), {"is_shared": is_shared})

    def oauth_callback(self, callback_url: str) -> dict[str, Any]:
        """Finish adding an account, with the address the browser landed on.

        The Plug-in gives the account to whoever began, whoever finishes: the state must be checked before.
        """
        return self._ask("POST", path("api", "oauth", "callback", "manual"), {"callback_url": callback_url})

    def list_accounts(self) -> dict[str, Any]:
        """Return her accounts, newest first."""
        return self._ask("GET", path("api", "accounts"))

    def get_account(self, cookie_id: str) -> dict[str, Any]:
        """Return one account, without when it was last used."""
        return self._ask("GET", path("api", "accounts", cookie_id))

    def delete_account(self, cookie_id: str) -> dict[str, Any]:
        """Delete an account; the answer has no `data`."""
        return self._ask("DELETE", path("api", "accounts", cookie_id))

    def set_account_status(self, cookie_id: str, status: int) -> dict[str, Any]:
        """Switch an account on (1) or off (0)."""
        return self._ask("PUT", path("api", "accounts", cookie_id, "status"), {"status": status})

    def set_account_name(self, cookie_id: str, name: str) -> dict[str, Any]:
        """Rename an account."""
        return self._ask("PUT", path("api", "accounts", cookie_id, "name"), {"name": name})

    def set_account_type(self, cookie_id: str, is_shared: int) -> dict[str, Any]:
        """Make an account shared (1) or her own (0)."""
        return self._ask("PUT", path("api", "accounts", cookie_id, "type"), {"is_shared": is_shared})

    def account_quotas(self, cookie_id: str) -> dict[str, Any]:
        """Return what is left of an account, per model, as its provider says right now; reset times have a zone."""
        answer = self._ask("GET", path("api", "accounts", cookie_id, "quotas"))
        return reading.zoned_rows(answer, naive_is_utc=self._connection.naive_is_utc)

    def set_model_status(self, cookie_id: str, model_name: str, status: int) -> dict[str, Any]:
        """Let an account serve a model (1) or not (0)."""
        where = path("api", "accounts", cookie_id, "quotas", model_name, "status")
        return self._ask("PUT", where, {"status": status})

    def user_quotas(self) -> dict[str, Any]:
        """Return her quota pools; a `quota` may be negative."""
        return self._ask("GET", path("api", "quotas", "user"))

    def shared_pool(self) -> dict[str, Any]:
        """Return what all shared accounts have left, in one shape: `data{quotas, user_consumption}`.

        Each call makes the Plug-in refresh accounts at their provider: ask rarely, and keep the answer for a minute.
        """
        answer = self._ask("GET", path("api", "quotas", "shared-pool"))
        return reading.shared_pool(answer, naive_is_utc=self._connection.naive_is_utc)

    def consumption(
        self, *, limit: int | None = None, start_date: str | None = None, end_date: str | None = None
    ) -> dict[str, Any]:
        """Return what she consumed, newest first. Without a limit that is every row ever, which may be too long."""
        where = path("api", "quotas", "consumption", limit=limit, start_date=start_date, end_date=end_date)
        return self._ask("GET", where)

    def consumption_stats(self, model_name: str) -> dict[str, Any]:
        """Return her sums for one model."""
        return self._ask("GET", path("api", "quotas", "consumption", "stats", model_name))

    def models(self) -> dict[str, Any]:
        """Return the models in OpenAI's shape; refused with 500, `Kind.NO_ACCOUNT`, for one without an own account."""
        return self._ask("GET", path("v1", "models"))

    def generate_content(self, model: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make images, in Gemini's shape; may take ten minutes and many megabytes."""
        where = path("v1beta", "models", model, verb=":generateContent")
        return self._ask("POST", where, body, self._connection.generation)

    def _ask(
        self, method: str, where: str, body: Mapping[str, Any] | None = None, limits: Limits | None = None
    ) -> dict[str, Any]:
        return self._connection.ask(method, where, credential=self._key, body=body, limits=limits)


def _counterpart(answer: dict[str, Any]) -> Counterpart:
    """Return whom an answer is about; without a usable id and key it is none of the Plug-in's."""
    data = answer.get("data")
    user_id, api_key = (data.get("user_id"), data.get("api_key")) if isinstance(data, dict) else (None, None)
    if not isinstance(user_id, str) or not isinstance(api_key, str) or not _USER_ID.fullmatch(user_id):
        raise PluginUnreachable
    try:
        return Counterpart(user_id, credential(api_key))
    except ValueError:
        raise PluginUnreachable from None
