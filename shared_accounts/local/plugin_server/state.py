"""What the server remembers, and what goes when something is deleted."""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from shared_accounts.local.plugin_server.control import Switches
from shared_accounts.local.plugin_server.rows import FULL, Account, Consumption, ModelQuota, PendingConsent, Pool, User

_KEPT = ("users", "accounts", "pools", "consumptions", "last_id")
STATE_LIFETIME = timedelta(minutes=5)
MODELS = (
    "gemini-2.5-flash",
    "gemini-2.5-pro",
    "gemini-3-pro-low",
    "gemini-3-pro-high",
    "gemini-3-pro-image",
    "claude-sonnet-4-5",
    "claude-sonnet-4-5-thinking",
    "claude-opus-4-5-thinking",
    "gpt-oss-120b-medium",
)


class State:
    """Everything there is. Whoever reads or changes it holds `lock`; rows are in the order they were made."""

    def __init__(self, admin_key: str, kept_in: Path | None = None) -> None:
        self.admin_key = admin_key
        self.lock = threading.RLock()
        self._kept_in = kept_in
        self.reset()
        if kept_in and kept_in.exists():
            vars(self).update(pickle.loads(kept_in.read_bytes()))  # noqa: S301 - private, and written by `keep`

    def reset(self) -> None:
        """Forget everything but the admin's key."""
        self.users: dict[str, User] = {}
        self.accounts: dict[str, Account] = {}
        self.pools: dict[tuple[str, str], Pool] = {}
        self.consumptions: list[Consumption] = []
        self.pending: dict[str, PendingConsent] = {}
        self.switches = Switches()
        self.last_id = 0

    def keep(self) -> None:
        """Write everything but switches and notes to the file, if there is one: in one step, for its owner alone."""
        if self._kept_in is None:
            return
        with self.lock:
            handle, half = tempfile.mkstemp(dir=self._kept_in.parent)
            with os.fdopen(handle, "wb") as file:
                pickle.dump({name: getattr(self, name) for name in _KEPT}, file)
            Path(half).replace(self._kept_in)

    def next_id(self) -> int:
        """Return a number that no row has."""
        self.last_id += 1
        return self.last_id

    def user_of(self, key: str) -> User | None:
        """Find who has this key; switched-off users are nobody."""
        return next((user for user in self.users.values() if user.api_key == key and user.status == 1), None)

    def accounts_of(self, user_id: str) -> list[Account]:
        """Return a user's accounts, oldest first."""
        return [account for account in self.accounts.values() if account.user_id == user_id]

    def shared_quotas(self) -> Iterator[ModelQuota]:
        """Yield what serves everybody: switched-on models of switched-on shared accounts."""
        for account in self.accounts.values():
            if account.is_shared == 1 and account.status == 1:
                yield from (row for row in account.quotas.values() if row.status == 1)

    def give_quotas(self, account: Account) -> None:
        """Let the provider say, for the first time, what the account offers."""
        for model in MODELS:
            account.quotas[model] = ModelQuota(quota_id=self.next_id(), cookie_id=account.cookie_id, model_name=model)
            account.quotas[model].observe(self.switches.fractions.get(model, FULL))

    def drop_account(self, account: Account) -> None:
        """Delete an account and, as the original does, whatever anybody consumed on it."""
        del self.accounts[account.cookie_id]
        self.consumptions = [one for one in self.consumptions if one.cookie_id != account.cookie_id]

    def drop_user(self, user: User) -> None:
        """Delete a user with all that hangs on her."""
        for account in self.accounts_of(user.user_id):
            self.drop_account(account)
        self.consumptions = [one for one in self.consumptions if one.user_id != user.user_id]
        self.pools = {place: pool for place, pool in self.pools.items() if pool.user_id != user.user_id}
        del self.users[user.user_id]
