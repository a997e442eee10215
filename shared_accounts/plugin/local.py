"""`/api/plugin-api/*` answered by our own pool, where no Plug-in API is configured.

`cookie_id` is an account's id as text, `status` 0 an account that is out of service, `quota` the free part of its
window. A user is known to the pool by her id here; she needs no key of her own for it.
"""

from __future__ import annotations

from secrets import token_urlsafe
from typing import Any

from shared_accounts.accounts import consent
from shared_accounts.accounts.consent import Consents
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.trial import Trial
from shared_accounts.errors import Conflict, NoAccountAvailable
from shared_accounts.plugin.local_accounts import LocalAccounts
from shared_accounts.plugin.local_quotas import LocalQuotas
from shared_accounts.plugin.pool import Answer, Departure, moment, success
from shared_accounts.requests_in import settings
from shared_accounts.users import roster

_CONSENT_SECONDS = 600


class NoProvider(Conflict):
    """The operator has set no provider up at which an owner could consent."""

    code = "PROVIDER_NOT_CONFIGURED"
    message = "No provider is set up here at which you could consent; contribute an account with its key instead."


class NoImages(NoAccountAvailable):
    """No account of our own pool makes images in Gemini's shape."""

    message = "No account here can answer this kind of request."
    field = "model"


class Local(LocalAccounts, LocalQuotas):
    """Our own pool as the pool behind the Plug-in API's routes."""

    def __init__(self, trial: Trial, consents: Consents) -> None:
        LocalAccounts.__init__(self, trial)
        LocalQuotas.__init__(self)
        self._consents = consents

    def key(self, user_id: int) -> Answer:
        """See `PluginPool`."""
        user = roster.get(user_id)
        return {
            "id": user_id,
            "user_id": user_id,
            "plugin_user_id": None,
            "is_active": user.state == "active",
            "created_at": moment(user.created_at),
            "updated_at": moment(user.created_at),
            "last_used_at": None,
        }

    def depart(self, user_id: int, *, is_shared: int) -> Departure:  # noqa: ARG002 - whoever asks, it is the same page
        """See `PluginPool`; the provider is the first that is set up. Raises `NoProvider`."""
        if not settings().upstream_oauth_providers:
            raise NoProvider
        asked = settings().upstream_oauth_providers[0]
        verifier = token_urlsafe(48)
        wish = {"provider": asked.id, "sharing": "shared" if is_shared else "dedicated"}
        kept = {"wish": wish, "verifier": verifier, "is_shared": is_shared}
        return Departure(lambda state: consent.address(asked, state=state, verifier=verifier), kept, _CONSENT_SECONDS)

    def arrive(self, user_id: int, kept: dict[str, Any], code: str) -> Answer:
        """See `PluginPool`; raises `visits.BadAnswer` or `visits.NoAnswer`, too."""
        account, _ = self._consents.accept(user_id, kept["wish"], consent.exchange(kept, code))
        return success(_arrived(account), "账号添加成功")

    def preference(self, user_id: int) -> Answer:
        """See `PluginPool`."""
        user = roster.get(user_id)
        return success(
            {
                "user_id": str(user_id),
                "name": user.username,
                "prefer_shared": int(user.prefer_shared),
                "status": int(user.state == "active"),
                "created_at": moment(user.created_at),
                "updated_at": moment(user.created_at),
            }
        )

    def set_preference(self, user_id: int, prefer_shared: int) -> Answer:
        """See `PluginPool`."""
        roster.get(user_id).prefer_shared = bool(prefer_shared)
        first = "共享优先" if prefer_shared else "专属优先"
        return success({"user_id": str(user_id), "prefer_shared": prefer_shared}, f"Cookie优先级已更新为{first}")

    def generate_content(self, user_id: int, model: str, body: dict[str, Any]) -> Answer:  # noqa: ARG002
        """Refuse: our own pool speaks OpenAI's chat only."""
        raise NoImages


def _arrived(account: Account) -> dict[str, Any]:
    return {
        "cookie_id": str(account.id),
        "user_id": str(account.owner_id),
        "is_shared": int(account.sharing == "shared"),
        "project_id_0": "",
        "is_restricted": False,
        "ineligible": False,
        "created_at": moment(account.created_at),
    }
