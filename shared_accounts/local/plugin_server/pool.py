"""Which account serves a request, what it costs, and what sharing earns; with the original's holes."""

from __future__ import annotations

from decimal import Decimal

from shared_accounts.local.plugin_server.answers import Refused
from shared_accounts.local.plugin_server.rows import Account, Consumption, Pool, User, now
from shared_accounts.local.plugin_server.state import State

_PER_ACCOUNT = Decimal(2)
_COST = Decimal("0.0100")
_CLAUDE = ("claude-sonnet-4-5", "claude-sonnet-4-5-thinking", "claude-opus-4-5-thinking")
_GROUPS = (
    ("gemini-3-pro-low", "gemini-3-pro-high"),
    _CLAUDE,
    ("gemini-2.5-pro", "gemini-2.5-pro-thinking"),
    (*_CLAUDE, "gpt-oss-120b-medium"),
)


def credit(state: State, account: Account) -> None:
    """Reward the owner for one more shared account: twice what is left of it, and 2 more room."""
    for row in account.quotas.values():
        place = (account.user_id, row.model_name)
        if place not in state.pools:
            state.pools[place] = Pool(pool_id=state.next_id(), user_id=account.user_id, model_name=row.model_name)
        pool = state.pools[place]
        pool.max_quota += _PER_ACCOUNT
        pool.quota = min(pool.quota + _PER_ACCOUNT * row.quota, pool.max_quota)
        pool.last_updated_at = now()


def take_back(state: State, account: Account) -> None:
    """Undo `credit` at today's fraction and never below zero, which is not what was credited."""
    for row in account.quotas.values():
        pool = state.pools.get((account.user_id, row.model_name))
        if pool:
            pool.quota = max(pool.quota - _PER_ACCOUNT * row.quota, Decimal(0))
            pool.max_quota = max(pool.max_quota - _PER_ACCOUNT, Decimal(0))
            pool.last_updated_at = now()


def choose(state: State, user: User, model: str) -> Account:
    """Return the oldest account of the preferred kind; refuses with 500, whether there is none or nothing left."""
    candidates = [account for account in state.accounts.values() if account.serves_user(user.user_id)]
    if not candidates:
        raise Refused(500, "没有可用的账号，请添加账号")  # noqa: RUF001 - its own comma
    usable = [account for account in candidates if _usable(state, user, account, model)]
    if not usable:
        raise Refused(500, f"所有账号对模型 {model} 的配额已耗尽或用户共享配额不足")
    return min(usable, key=lambda account: (account.is_shared == 1) != (user.prefer_shared == 1))


def consume(state: State, user: User, account: Account, model: str) -> None:
    """Charge one finished request: to the account, and for a shared one to the whole group of the user's pools."""
    row = account.quotas.get(model)
    if row is None:
        return
    before = row.quota
    row.observe(max(before - _COST, Decimal(0)))
    spent = Consumption(
        log_id=state.next_id(),
        user_id=user.user_id,
        cookie_id=account.cookie_id,
        model_name=model,
        quota_before=before,
        quota_after=row.quota,
        quota_consumed=before - row.quota,
        is_shared=account.is_shared,
    )
    state.consumptions.append(spent)
    if account.is_shared == 1:
        _debit(state, user, model, spent.quota_consumed)


def _usable(state: State, user: User, account: Account, model: str) -> bool:
    row = account.quotas.get(model)
    if row and (row.status == 0 or row.quota == 0):
        return False
    pools = (state.pools.get((user.user_id, member)) for member in _group(model))
    return account.is_shared != 1 or any(pool and pool.quota > 0 for pool in pools)


def _debit(state: State, user: User, model: str, amount: Decimal) -> None:
    for member in _group(model):
        pool = state.pools.get((user.user_id, member))
        if pool:
            pool.quota -= amount
            pool.last_updated_at = now()


def _group(model: str) -> tuple[str, ...]:
    return next((group for group in _GROUPS if model in group), (model,))
