"""A user's accounts in our own pool, in the Plug-in API's shapes; whoever is being withdrawn is gone already.

Invariant: what an owner does here is done by `contribution`, so the quota her accounts earn follows as ever.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, func, select

from shared_accounts import live_settings
from shared_accounts.accounts import contribution, withdrawal
from shared_accounts.accounts.models import Account, AccountEvent, AccountUse
from shared_accounts.accounts.trial import Trial
from shared_accounts.audit import trail
from shared_accounts.errors import Conflict, NotFound
from shared_accounts.extensions import db
from shared_accounts.plugin import local_models
from shared_accounts.plugin.pool import Answer, moment, success
from shared_accounts.requests_in import settings

_ROW_NUMBER = re.compile("[0-9]{1,18}", re.ASCII)
_GONE = ("draining", "withdrawn")
_WAITS_FOR_PROOF = ("needs_sign_in", "broken")


class LocalAccounts:
    """The part of `PluginPool` that is about accounts."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def accounts(self, user_id: int) -> Answer:
        """See `PluginPool`."""
        query = select(Account, _last_moved(), _last_used())
        mine = query.where(Account.owner_id == user_id, Account.state.not_in(_GONE)).order_by(Account.id.desc())
        return success([_shown(*row) for row in db.session.execute(mine).tuples()])

    def account(self, user_id: int, cookie_id: str) -> Answer:
        """See `PluginPool`."""
        account = _mine(user_id, cookie_id)
        moved_at = db.session.scalar(select(_last_moved()).where(Account.id == account.id))
        return success({name: value for name, value in _shown(account, moved_at).items() if name != "last_used_at"})

    def delete(self, user_id: int, cookie_id: str) -> Answer:
        """See `PluginPool`; what is under way on it may end."""
        account = _mine(user_id, cookie_id)
        withdrawal.withdraw(account)
        trail.record("account.withdrawn", on=user_id, target=f"account:{account.id}")
        return success(message="账号已删除")

    def set_status(self, user_id: int, cookie_id: str, status: int) -> Answer:
        """See `PluginPool`; one that its upstream refused has to be accepted there first."""
        account, told = _mine(user_id, cookie_id), {"cookie_id": cookie_id, "status": status}
        if status == int(account.state == "active"):
            return success(told, "账号状态未变化")
        if account.state == "disabled":
            raise Conflict("An admin has taken this account out of service, and alone can bring it back.")
        if account.state in _WAITS_FOR_PROOF:
            account = self._proved(user_id, cookie_id)
        _change(account, {"paused": not status})
        return success(told, f"账号状态已更新为{'启用' if status else '禁用'}")

    def set_name(self, user_id: int, cookie_id: str, name: str) -> Answer:
        """See `PluginPool`."""
        _change(_mine(user_id, cookie_id), {"name": name})
        return success({"cookie_id": cookie_id, "name": name}, "账号名称已更新")

    def set_type(self, user_id: int, cookie_id: str, is_shared: int) -> Answer:
        """See `PluginPool`."""
        account, told = _mine(user_id, cookie_id), {"cookie_id": cookie_id, "is_shared": is_shared}
        wanted = "shared" if is_shared else "dedicated"
        if account.sharing == wanted:
            return success(told, "账号类型未变化")
        _change(account, {"sharing": wanted})
        return success(told, f"账号类型已更新为{'共享' if is_shared else '专属'}")

    def account_quotas(self, user_id: int, cookie_id: str) -> Answer:
        """See `PluginPool`; as our own counting and its upstream's last word have it."""
        return success(local_models.remaining(_mine(user_id, cookie_id)))

    def set_model_status(self, user_id: int, cookie_id: str, model_name: str, status: int) -> Answer:
        """See `PluginPool`; the last model stays on, for an account without any cannot be."""
        account = _mine(user_id, cookie_id)
        changes = local_models.switched(account, model_name, on=bool(status))
        if changes:
            _change(account, changes)
        told = {"cookie_id": cookie_id, "model_name": model_name, "status": status}
        return success(told, f"模型配额状态已更新为{'启用' if status else '禁用'}")

    def _proved(self, user_id: int, cookie_id: str) -> Account:
        refusal = self._trial.run(int(cookie_id)).refusal
        if refusal:
            raise refusal
        return _mine(user_id, cookie_id)


def _mine(user_id: int, cookie_id: str) -> Account:
    account = contribution.mine(user_id, int(cookie_id)) if _ROW_NUMBER.fullmatch(cookie_id) else None
    if account is None or account.state in _GONE:
        raise NotFound
    return account


def _change(account: Account, changes: dict[str, object]) -> None:
    contribution.change(account, changes, live_settings.current(settings()))
    trail.record("account.changed", on=account.owner_id, target=f"account:{account.id}", fields=sorted(changes))


def _shown(account: Account, moved_at: datetime | None, used_at: datetime | None = None) -> dict[str, Any]:
    ends = account.credential_expires_at
    return {
        "cookie_id": str(account.id),
        "user_id": str(account.owner_id),
        "name": account.name,
        "is_shared": int(account.sharing == "shared"),
        "status": int(account.state == "active"),
        "need_refresh": account.state == "needs_sign_in",
        "expires_at": str(int(ends.timestamp() * 1000)) if ends else None,
        "project_id_0": "",
        "is_restricted": False,
        "paid_tier": None,
        "ineligible": False,
        "last_used_at": moment(used_at) if used_at else None,
        "created_at": moment(account.created_at),
        "updated_at": moment(moved_at or account.created_at),
    }


def _last_moved() -> ScalarSelect[datetime]:
    steps = select(AccountEvent.at).where(AccountEvent.account_id == Account.id).order_by(AccountEvent.id.desc())
    return steps.limit(1).correlate(Account).scalar_subquery()


def _last_used() -> ScalarSelect[datetime]:
    uses = select(func.max(AccountUse.last_at)).where(AccountUse.account_id == Account.id)
    return uses.correlate(Account).scalar_subquery()
