"""What it takes to work with a Plug-in API: the way there, the operator's key, and where our side keeps things."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import urlsplit

from shared_accounts.config import Settings
from shared_accounts.crypto import Vault
from shared_accounts.errors import Conflict
from shared_accounts.outbound.addresses import Guard
from shared_accounts.plugin.client import Counterpart, PluginAdmin, PluginConnection, PluginUser
from shared_accounts.plugin.connection import Limits

_IN_TASKS = Limits(gap=8.0, total=8.0, longest=8 * 1024 * 1024)  # five questions must fit into one task
_FRESH_SECONDS = 300.0
_HASTE_SECONDS = 5.0
_MOST_HASTENED = 10_000
_PORTS = {"http": 80, "https": 443}


class NotSetUp(Conflict):
    """There is nothing to ask."""

    code = "PLUGIN_NOT_SET_UP"
    message = "No Plug-in API is set up: PLUGIN_API_BASE_URL is empty."


@dataclass(slots=True)
class Plugin:
    """The Plug-in API this service works with; one per process."""

    connection: PluginConnection
    """For whoever waits for an answer."""
    hurried: PluginConnection
    """For tasks, which must not wait long."""
    admin: PluginAdmin
    settings: Settings
    vault: Vault
    guard: Guard
    _shared: tuple[float, list[str]] = field(default=(0.0, []))
    _hastened: dict[int, float] = field(default_factory=dict)

    def user(self, counterpart: Counterpart) -> PluginUser:
        """Return the Plug-in as this user's tasks see it."""
        return PluginUser(self.hurried, counterpart.api_key)

    def shared_models(self, user: PluginUser) -> list[str]:
        """Return the models that everybody's shared accounts serve there; asking has the Plug-in ask its providers."""
        until, names = self._shared
        if until < monotonic():
            listed = user.shared_pool()["data"]["quotas"]
            names = [str(row["model_name"]) for row in listed if row.get("model_name")]
            self._shared = (monotonic() + _FRESH_SECONDS, names)
        return names

    def may_hasten(self, user_id: int) -> bool:
        """Tell whether to send for a user's provisioning: for each once in five seconds, however often she asks."""
        now = monotonic()
        if self._hastened.get(user_id, 0.0) > now:
            return False
        if len(self._hastened) >= _MOST_HASTENED:
            self._hastened.clear()
        self._hastened[user_id] = now + _HASTE_SECONDS
        return True


def required(found: Plugin | None) -> Plugin:
    """Return the Plug-in API this service works with; raises `NotSetUp`."""
    if found is None:
        raise NotSetUp
    return found


def configured(settings: Settings, vault: Vault, guard: Guard) -> Plugin | None:
    """Return the Plug-in API this service works with, if there is one."""
    if not settings.plugin_api_base_url:
        return None
    where, utc = settings.plugin_api_base_url, settings.plugin_api_runs_in_utc
    hurried = PluginConnection(where, naive_is_utc=utc, management=_IN_TASKS)
    return Plugin(
        connection=PluginConnection(where, naive_is_utc=utc),
        hurried=hurried,
        admin=PluginAdmin(hurried, settings.plugin_api_admin_key),
        settings=settings,
        vault=vault,
        guard=guard,
    )


def allowed(settings: Settings) -> list[str]:
    """Return the one `host:port` that may be reached because the operator named it as the Plug-in API's."""
    if not settings.plugin_api_base_url:
        return []
    parts = urlsplit(settings.plugin_api_base_url)
    return [f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}"]
