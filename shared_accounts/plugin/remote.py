"""`/api/plugin-api/*` answered by a Plug-in API server, each of our users by her own key there.

Invariant: the caller's key reaches nobody but the Plug-in, and its OAuth states nobody at all: what a browser carries
is a state of ours, so a consent can be finished only by whoever began it, and through us. No database connection is
held while the Plug-in takes its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from shared_accounts.errors import NotFound, NotProvisioned
from shared_accounts.extensions import db
from shared_accounts.plugin import bindings, remote_answers
from shared_accounts.plugin.client import Counterpart, PluginUser
from shared_accounts.plugin.failures import PluginRefused, PluginUnreachable
from shared_accounts.plugin.kept import Kept
from shared_accounts.plugin.parts import Plugin
from shared_accounts.plugin.pool import Answer, Departure, Span, moment, success
from shared_accounts.plugin.refusals import explain

_SHARED_POOL_SECONDS = 45.0
_MOST_ROWS = 10_000
_LANDING = "http://localhost/oauth-callback"
"""Of an address to come back to, the Plug-in reads nothing but the query."""


class Remote:
    """A Plug-in API server as the pool behind the Plug-in API's routes."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._shared_quotas: Kept[list[dict[str, Any]]] = Kept(_SHARED_POOL_SECONDS, failures=PluginUnreachable)

    def key(self, user_id: int) -> Answer:
        """See `PluginPool`; `is_active` tells whether her user there is ready."""
        binding = bindings.of(user_id)
        if binding is None:
            raise NotFound("未找到API密钥")
        sealed = binding.sealed_counterpart
        return {
            "id": user_id,
            "user_id": user_id,
            "plugin_user_id": bindings.counterpart(user_id, sealed, self._plugin.vault).user_id if sealed else None,
            "is_active": binding.state == "ready",
            "created_at": moment(binding.created_at),
            "updated_at": moment(binding.updated_at),
            "last_used_at": None,
        }

    def depart(self, user_id: int, *, is_shared: int) -> Departure:
        """See `PluginPool`."""
        with self._asking(user_id) as user:
            return remote_answers.departure(user.oauth_authorize(is_shared), is_shared)

    def arrive(self, user_id: int, kept: dict[str, Any], code: str) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id) as user:
            return user.oauth_callback(f"{_LANDING}?{urlencode({'code': code, 'state': kept['state_there']})}")

    def accounts(self, user_id: int) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id) as user:
            return remote_answers.listing(user.list_accounts())

    def account(self, user_id: int, cookie_id: str) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id, hides=True) as user:
            return user.get_account(cookie_id)

    def delete(self, user_id: int, cookie_id: str) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id, hides=True) as user:
            return user.delete_account(cookie_id)

    def set_status(self, user_id: int, cookie_id: str, status: int) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id, hides=True) as user:
            return user.set_account_status(cookie_id, status)

    def set_name(self, user_id: int, cookie_id: str, name: str) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id, hides=True) as user:
            return user.set_account_name(cookie_id, name)

    def set_type(self, user_id: int, cookie_id: str, is_shared: int) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id, hides=True) as user:
            return user.set_account_type(cookie_id, is_shared)

    def account_quotas(self, user_id: int, cookie_id: str) -> Answer:
        """See `PluginPool`; the Plug-in asks its provider."""
        with self._asking(user_id, hides=True) as user:
            return remote_answers.listing(user.account_quotas(cookie_id))

    def set_model_status(self, user_id: int, cookie_id: str, model_name: str, status: int) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id, hides=True) as user:
            return user.set_model_status(cookie_id, model_name, status)

    def user_quotas(self, user_id: int) -> Answer:
        """See `PluginPool`; a `quota` may be negative."""
        with self._asking(user_id) as user:
            return remote_answers.listing(user.user_quotas())

    def shared_pool(self, user_id: int) -> Answer:
        """See `PluginPool`; what accounts have left is at most 45 s old, for asking has the Plug-in ask providers."""
        with self._asking(user_id) as user:
            quotas = self._shared_quotas.get(lambda: user.shared_pool()["data"]["quotas"])
            calls = remote_answers.listing(user.consumption(limit=_MOST_ROWS))["data"]
            if len(calls) < _MOST_ROWS:
                consumed = remote_answers.consumed(calls)
            else:  # there may be more of them than anybody wants to send
                consumed = user.shared_pool()["data"]["user_consumption"]
        return success({"quotas": quotas, "user_consumption": consumed})

    def consumption(self, user_id: int, span: Span) -> Answer:
        """See `PluginPool`."""
        since, until = (moment(at) if at else None for at in (span.since, span.until))
        with self._asking(user_id) as user:
            return remote_answers.listing(user.consumption(limit=span.limit, start_date=since, end_date=until))

    def consumption_stats(self, user_id: int, model_name: str) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id) as user:
            return user.consumption_stats(model_name)

    def preference(self, user_id: int) -> Answer:
        """See `PluginPool`."""
        with self._asking(user_id) as user:
            return user.me()

    def set_preference(self, user_id: int, prefer_shared: int) -> Answer:
        """See `PluginPool`."""
        known = self._counterpart(user_id)
        with self._asking(user_id) as user:
            return user.set_preference(known.user_id, prefer_shared)

    def generate_content(self, user_id: int, model: str, body: dict[str, Any]) -> Answer:
        """See `PluginPool`; may take ten minutes."""
        with self._asking(user_id) as user:
            return user.generate_content(model, body)

    @contextmanager
    def _asking(self, user_id: int, *, hides: bool = False) -> Iterator[PluginUser]:
        """Ask for a user by her key there; raises refusals of ours. What is not hers can be made to look unknown."""
        user = PluginUser(self._plugin.connection, self._counterpart(user_id).api_key)
        db.session.rollback()  # no connection is held while the Plug-in takes its time
        try:
            yield user
        except PluginRefused as refused:
            if hides and remote_answers.is_not_hers(refused):
                raise NotFound from None
            raise explain(refused) from None
        except PluginUnreachable as failure:
            raise explain(failure) from None

    def _counterpart(self, user_id: int) -> Counterpart:
        binding = bindings.of(user_id)
        if binding is None or binding.state != "ready" or binding.sealed_counterpart is None:
            raise NotProvisioned
        return bindings.counterpart(user_id, binding.sealed_counterpart, self._plugin.vault)
