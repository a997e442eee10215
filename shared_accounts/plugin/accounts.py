"""A user's key at the Plug-in API as an account of hers here: the gateway sees a candidate like any other.

What the account can take is for the Plug-in to say, so its window here is never full.
"""

from __future__ import annotations

from sqlalchemy import select

from shared_accounts.accounts import contribution, standing
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.presets import PLUGIN
from shared_accounts.extensions import db
from shared_accounts.plugin.bindings import Claim
from shared_accounts.plugin.client import Counterpart, PluginUser
from shared_accounts.plugin.failures import Kind, PluginRefused
from shared_accounts.plugin.parts import Plugin

_WITHOUT_END = 10**12
_NAME = "Plug-in API"
_LONGEST_MODEL = 200


def models(plugin: Plugin, user: PluginUser) -> list[str]:
    """Return what a user can ask for: her own accounts' models, and those of everybody's shared ones."""
    named = dict.fromkeys([*_own(user), *plugin.shared_models(user)])
    return [name for name in named if len(name) <= _LONGEST_MODEL and name.isprintable()]


def keep(plugin: Plugin, claim: Claim, counterpart: Counterpart, names: list[str]) -> int | None:
    """Contribute the account, or bring it up to date; returns its id, nothing while there is no model to serve.

    One that its owner has withdrawn stays so.
    """
    account = db.session.scalar(select(Account).where(Account.id == claim.account_id).with_for_update())
    if account is None:
        return _contributed(plugin, claim, counterpart, names) if names else None
    if account.state in {"withdrawn", "draining"}:
        return account.id
    target = plugin.guard.parse(account.base_url)
    contribution.replace_credential(account, counterpart.api_key, plugin.vault, target)
    if names:
        wanted = [name for name in names if name not in account.models_off]
        contribution.change(account, {"models": wanted or account.models}, plugin.settings)
    if account.state in {"needs_sign_in", "broken"}:
        standing.bring_back(account.id, account.state, reason="the Plug-in API takes its key")
    return account.id


def _contributed(plugin: Plugin, claim: Claim, counterpart: Counterpart, names: list[str]) -> int:
    base_url = f"{plugin.settings.plugin_api_base_url.rstrip('/')}/v1"
    offer = contribution.Offer(
        name=_NAME,
        base_url=base_url,
        target=plugin.guard.parse(base_url),
        credential=counterpart.api_key,
        sharing="dedicated",
        models=names,
        allowance_tokens=_WITHOUT_END,
        window_hours=5,
        max_concurrency=None,
        preset=PLUGIN,
    )
    return contribution.contribute(claim.user_id, offer, vault=plugin.vault, settings=plugin.settings).id


def _own(user: PluginUser) -> list[str]:
    try:
        listed = user.models().get("data")
    except PluginRefused as refused:
        if refused.kind is not Kind.NO_ACCOUNT:
            raise
        return []
    rows = listed if isinstance(listed, list) else []
    return [str(one["id"]) for one in rows if isinstance(one, dict) and one.get("id")]
