"""Give each of our users a user of her own at the Plug-in API, and her key there a place among her accounts.

Invariant: however often and wherever this runs, and wherever it is cut off, a user ends with one credential of ours:
she is made under a name written down before, so whoever lost the answer finds her there and takes a new key. A second
one can only come from a request the Plug-in carried out after we had given it up; `orphans` finds it.

Nothing here commits. What is written when a generator yields has to be committed before it goes on: no transaction
waits for the Plug-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum

from shared_accounts.audit import trail
from shared_accounts.errors import Conflict, ServiceError
from shared_accounts.plugin import accounts, bindings
from shared_accounts.plugin.bindings import Claim
from shared_accounts.plugin.client import Counterpart
from shared_accounts.plugin.failures import Kind, PluginRefused, PluginUnreachable
from shared_accounts.plugin.parts import Plugin
from shared_accounts.users import roster

_LOOK_AGAIN_SECONDS = 3600
_UNAUTHORIZED = 401
_FAILURES = (PluginRefused, PluginUnreachable, ServiceError)


class Order(StrEnum):
    """What a person can have done for a user."""

    PROVISION = "provision"
    RESYNC = "resync"
    ROTATE_KEY = "rotate_key"


class Occupied(Conflict):
    """Another worker has the claim."""

    code = "PLUGIN_BUSY"
    message = "Somebody is at it this very moment, or was cut off; try again in two minutes."


class LeftOut(Conflict):
    """Disabled users are not provisioned."""

    code = "PLUGIN_LEFT_OUT"
    message = "This user is disabled, and gets no user at the Plug-in API."


def provision(plugin: Plugin, user_id: int, *, again: bool = False) -> Iterator[None]:
    """Take a user as far as she can be taken now; `again` looks after one who is there already, too.

    What goes wrong is noted on her binding, and raised by nobody: she is due again later.
    """
    claim = bindings.take(user_id, again=again)
    if claim is not None:
        yield
        with suppress(*_FAILURES):
            yield from _attempt(plugin, claim)


def insist(plugin: Plugin, user_id: int, order: Order) -> Iterator[None]:
    """Carry an order out while somebody waits for it, and write it down in the audit log.

    To provision whoever is there already does nothing; to rotate a key kills the old one at once. Raises `NotFound`,
    `LeftOut` or `Occupied` before anything has happened, and what goes wrong once it is noted: `PluginRefused`,
    `PluginUnreachable` or a `ServiceError`.
    """
    again = order is not Order.PROVISION
    claim = bindings.take(user_id, again=again)
    if claim is None:
        _refuse(user_id, again=again)
        return
    trail.record(f"plugin.{order}", on=user_id)
    yield
    yield from _attempt(plugin, claim, new_key=order is Order.ROTATE_KEY)


def orphans(plugin: Plugin) -> list[tuple[str, str]]:
    """Return whom we made there and do not know, by id and name: each a trace of an answer that came too late.

    Who bears the name of a user somebody is at, or whom nobody keeps yet, is none: she may be found any moment.
    """
    there = plugin.admin.list_users()
    ours = {
        name: bindings.counterpart(user_id, sealed, plugin.vault).user_id
        for user_id, name, sealed in bindings.at_rest()
    }
    named = [(str(one.get("user_id")), str(one.get("name"))) for one in there]
    return [(there_id, name) for there_id, name in named if ours.get(name, there_id) != there_id]


def _refuse(user_id: int, *, again: bool) -> None:
    if roster.get(user_id).state == "disabled":
        raise LeftOut
    if again or not bindings.is_ready(user_id):
        raise Occupied


def _attempt(plugin: Plugin, claim: Claim, *, new_key: bool = False) -> Iterator[None]:
    """Raise what goes wrong, after it has been noted and the claim given back."""
    try:
        yield from _work(plugin, claim, new_key=new_key)
    except _FAILURES as failure:
        bindings.postpone(claim, str(failure))
        yield
        raise


def _work(plugin: Plugin, claim: Claim, *, new_key: bool) -> Iterator[None]:
    known = _known(plugin, claim, new_key=new_key) or _found(plugin, claim)
    counterpart = known or plugin.admin.create_user(claim.name)
    if bindings.keep(claim, counterpart, plugin.vault):
        yield
        yield from _settle(plugin, claim, counterpart)
    else:
        # Somebody else has taken over, and a key we have just been given may have ended hers.
        bindings.hasten(claim.user_id)
        yield


def _settle(plugin: Plugin, claim: Claim, counterpart: Counterpart) -> Iterator[None]:
    """Set her preference, which the Plug-in ignores when it makes her, and let her key serve her here."""
    user = plugin.user(counterpart)
    user.set_preference(counterpart.user_id, int(claim.prefer_shared))
    models = accounts.models(plugin, user)
    if bindings.hold(claim):
        account_id = accounts.keep(plugin, claim, counterpart, models)
        bindings.finish(claim, account_id, look_again_in=_LOOK_AGAIN_SECONDS)
    yield


def _known(plugin: Plugin, claim: Claim, *, new_key: bool) -> Counterpart | None:
    """Return whom we keep already, with a new key if one is wanted or the one we have is refused."""
    if claim.sealed is None:
        return None
    known = bindings.counterpart(claim.user_id, claim.sealed, plugin.vault)
    if new_key:
        return _renewed(plugin, known.user_id)
    try:
        plugin.user(known).me()
    except PluginRefused as refused:
        if refused.status != _UNAUTHORIZED:
            raise
        return _renewed(plugin, known.user_id)
    return known


def _found(plugin: Plugin, claim: Claim) -> Counterpart | None:
    """Return who was made by an attempt that did not live to tell."""
    if claim.attempts == 1:
        return None
    named = [user for user in plugin.admin.list_users() if user.get("name") == claim.name]
    oldest = min(named, key=lambda user: str(user.get("created_at")), default=None)
    return _renewed(plugin, str(oldest["user_id"])) if oldest else None


def _renewed(plugin: Plugin, user_id: str) -> Counterpart | None:
    try:
        return plugin.admin.regenerate_key(user_id)
    except PluginRefused as refused:
        if refused.kind is not Kind.NO_USER:
            raise
        return None
