"""Finding out whether an account still works, when nobody's request does.

Invariant: an account is probed by one process at a time and no more often than its turn comes: the statement that
takes it marks it as probed, whatever becomes of the probe. An upstream that cannot be reached is no verdict on a
credential; a refused credential is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text

from shared_accounts.accounts import probe, standing
from shared_accounts.crypto import Vault
from shared_accounts.errors import ServiceError
from shared_accounts.extensions import db
from shared_accounts.outbound.addresses import Guard
from shared_accounts.outbound.wire import Wire

# A broken account is asked again after five minutes, one that nobody has used for a day once a day.
_DUE = """
with due as (
    select id from accounts where
        (state = 'broken' and coalesce(probed_at, '-infinity') < now() - interval '5 minutes')
        or (state = 'active' and coalesce(probed_at, created_at) < now() - interval '1 day' and not exists (
            select from usage_log where account_id = accounts.id and opened_at > now() - interval '1 day'))
    order by probed_at nulls first, id limit 1 for update skip locked)
update accounts set probed_at = now() from due where accounts.id = due.id
returning accounts.id, accounts.state, accounts.base_url, accounts.sealed_credential, accounts.models,
    accounts.preset"""

_HOPELESS = "select id from accounts where state = 'active' and strikes >= :most order by id"


@dataclass(frozen=True, slots=True)
class Due:
    """An account whose turn it is."""

    id: int
    state: str
    base_url: str
    credential: str
    models: list[str]
    preset: str | None


def give_up_on() -> int:
    """Take out what has failed so often in a row that only a probe may try it again; returns how many."""
    hopeless = db.session.scalars(text(_HOPELESS), {"most": standing.STRIKES_BROKEN})
    reason = f"it failed {standing.STRIKES_BROKEN} times in a row"
    return sum(standing.take_out(account_id, "broken", reason) for account_id in list(hopeless))


def take_turns(vault: Vault, most: int = 3) -> Iterator[Due]:
    """Yield accounts whose turn has come, each marked as probed; the caller commits before it asks the upstream."""
    for _ in range(most):
        row = db.session.execute(text(_DUE)).one_or_none()
        if row is None:
            return
        credential = vault.unseal(bytes(row.sealed_credential), purpose=f"account:{row.id}")
        yield Due(row.id, row.state, row.base_url, credential, list(row.models), row.preset)


def works(due: Due, wire: Wire, guard: Guard) -> ServiceError | None:
    """Ask the upstream; returns nothing when the account works, else what is wrong."""
    try:
        # One model is enough to see that the credential works.
        probe.prove(wire, guard.parse(due.base_url), due.credential, due.models[:1], preset=due.preset)
    except ServiceError as refusal:
        return refusal
    return None


def conclude(due: Due, wrong: ServiceError | None) -> None:
    """Draw the consequences: a recovered account serves from the next request on."""
    if wrong is None and due.state == "broken":
        standing.bring_back(due.id, "broken", reason="a probe succeeded")
    elif isinstance(wrong, probe.CredentialRefused) and due.state == "active":
        standing.take_out(due.id, "needs_sign_in", "a probe was refused: the upstream does not take the credential")
