"""Finding out whether an account still works, when nobody's request does.

Invariant: an account is probed by one process at a time and no more often than its turn comes: the statement that
takes it marks it as probed, whatever becomes of the probe. An upstream that cannot be reached is no verdict on a
credential; a refused credential is, unless another has taken its place meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select, text

from shared_accounts.accounts import presets, standing
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.trial import Tried
from shared_accounts.extensions import db

# A broken account is asked again after five minutes, one that nobody has used for a day once a day. Not a key at the
# Plug-in API: whose list of models fails for somebody without accounts there; `plugin.provisioning` looks after it.
_DUE = f"""
with due as (
    select id from accounts where preset is distinct from '{presets.PLUGIN}' and (
        (state = 'broken' and coalesce(probed_at, '-infinity') < now() - interval '5 minutes')
        or (state = 'active' and coalesce(probed_at, created_at) < now() - interval '1 day' and not exists (
            select from usage_log where account_id = accounts.id and opened_at > now() - interval '1 day'
              and id >= first_usage_id(now() - interval '2 days'))))
    order by probed_at nulls first, id limit 1 for update skip locked)
update accounts set probed_at = now() from due where accounts.id = due.id
returning accounts.id, accounts.state"""

_HOPELESS = """
select id from accounts where state = 'active' and strikes >= :most order by id limit 1 for update skip locked"""


@dataclass(frozen=True, slots=True)
class Due:
    """An account whose turn it is."""

    id: int
    state: str


def give_up_on() -> bool:
    """Take out one account that has failed so often in a row that only a probe may try it again.

    Returns whether there was one. The caller commits before the next one: a transaction that took out several would
    lock their owners' pools one after another, and so wait in a circle with whoever locks them in order.
    """
    account_id = db.session.scalar(text(_HOPELESS), {"most": standing.STRIKES_BROKEN})
    reason = f"it failed {standing.STRIKES_BROKEN} times in a row"
    return account_id is not None and standing.take_out(account_id, "broken", reason)


def take_turns(most: int = 3) -> Iterator[Due]:
    """Yield accounts whose turn has come, each marked as probed; the caller commits before it tries one."""
    for _ in range(most):
        row = db.session.execute(text(_DUE)).one_or_none()
        if row is None:
            return
        yield Due(row.id, row.state)


def conclude(due: Due, tried: Tried) -> None:
    """Draw the consequences: a recovered account serves from the next request on."""
    kept = select(Account.sealed_credential).where(Account.id == due.id).with_for_update()
    if db.session.scalar(kept) != tried.sealed:
        return
    if tried.refusal is None and due.state == "broken":
        standing.bring_back(due.id, "broken", reason="a probe succeeded")
    elif tried.is_refused and due.state == "active":
        standing.take_out(due.id, "needs_sign_in", "a probe was refused: the upstream does not take the credential")
