"""/api/plugin-api: one's accounts, by the Plug-in API's contract; our own pool answers, or a Plug-in API server.

Invariant: which of the two answers was chosen when the process started, and shows in no status and in no shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, current_app, g, jsonify

from shared_accounts import tasks
from shared_accounts.accounts.probe import CredentialRefused
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.clockwork import soon
from shared_accounts.errors import NotProvisioned
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.plugin import answer_schemas as told
from shared_accounts.plugin.parts import Plugin
from shared_accounts.plugin.pool import PluginPool
from shared_accounts.plugin.refusals import PluginAuthFailed
from shared_accounts.plugin.schemas import BAD_BODY, AccountName, AccountType, PoolPreference, SwitchStatus
from shared_accounts.users import roster, standing

blp = Door("plugin-api", __name__, url_prefix="/api/plugin-api", description="The pool, by the Plug-in API's contract")

_UPSTREAM = (502, 503, 504)


@blp.get("/key")
@signed_in
@blp.response(200, told.KeyAnswer)
@blp.refuses(404)
def show_key() -> Response:
    """Show by what the caller is known to the pool, and whether that is ready; never a key."""
    with answering() as pool:
        return jsonify(pool.key(g.person.id))


@blp.get("/accounts")
@signed_in
@blp.response(200, told.telling(told.ListedAccountData, many=True))
@blp.refuses(*_UPSTREAM)
def list_accounts() -> Response:
    """List the caller's accounts, newest first."""
    with answering() as pool:
        return jsonify(pool.accounts(g.person.id))


@blp.get("/accounts/<cookie_id>")
@signed_in
@blp.response(200, told.telling(told.AccountData))
@blp.refuses(404, *_UPSTREAM)
def show_account(cookie_id: str) -> Response:
    """Show one of the caller's accounts."""
    with answering() as pool:
        return jsonify(pool.account(g.person.id, cookie_id))


@blp.delete("/accounts/<cookie_id>")
@signed_in
@blp.response(200, told.Success)
@blp.refuses(404, *_UPSTREAM)
def delete_account(cookie_id: str) -> Response:
    """Take an account out for good; exactly the quota that it was credited goes back."""
    with changing() as pool:
        return jsonify(pool.delete(g.person.id, cookie_id))


@blp.put("/accounts/<cookie_id>/status")
@signed_in
@blp.arguments(SwitchStatus, error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.ChangeData))
@blp.refuses(400, 404, 409, 422, *_UPSTREAM)
def set_status(body: dict[str, int], cookie_id: str) -> Response:
    """Let an account serve, or pause it."""
    with changing() as pool:
        return jsonify(pool.set_status(g.person.id, cookie_id, body["status"]))


@blp.put("/accounts/<cookie_id>/name")
@signed_in
@blp.arguments(AccountName, error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.ChangeData))
@blp.refuses(400, 404, *_UPSTREAM)
def set_name(body: dict[str, str], cookie_id: str) -> Response:
    """Rename an account."""
    with changing() as pool:
        return jsonify(pool.set_name(g.person.id, cookie_id, body["name"]))


@blp.put("/accounts/<cookie_id>/type")
@signed_in
@blp.arguments(AccountType, error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.ChangeData))
@blp.refuses(400, 404, *_UPSTREAM)
def set_type(body: dict[str, int], cookie_id: str) -> Response:
    """Share an account with everybody or keep it for oneself; the quota it earns follows.

    Share only what your provider's terms allow you to share.
    """
    with changing(shares=body["is_shared"] == 1) as pool:
        return jsonify(pool.set_type(g.person.id, cookie_id, body["is_shared"]))


@blp.get("/preference")
@signed_in
@blp.response(200, told.telling(told.PersonData))
@blp.refuses(*_UPSTREAM)
def show_preference() -> Response:
    """Show the caller as the pool knows her; `prefer_shared` says which accounts go first."""
    with answering() as pool:
        return jsonify(pool.preference(g.person.id))


@blp.put("/preference")
@signed_in
@blp.arguments(PoolPreference, error_status_code=BAD_BODY)
@blp.response(200, told.telling(told.PreferenceData))
@blp.refuses(400, *_UPSTREAM)
def set_preference(body: dict[str, int]) -> Response:
    """Have shared accounts tried first, or one's own."""
    with changing() as pool:
        answer = pool.set_preference(g.person.id, body["prefer_shared"])
        # Ours in any case: the gateway chooses by it, and provisioning repeats it to a Plug-in.
        roster.get(g.person.id).prefer_shared = bool(body["prefer_shared"])
        return jsonify(answer)


@contextmanager
def answering() -> Iterator[PluginPool]:
    """Hand out the pool that was chosen; whoever is not known there, or no more, is provided for soon."""
    try:
        yield current_app.extensions["plugin_pool"]
    except NotProvisioned:
        _hasten(tasks.provision_plugin_user)
        raise
    except PluginAuthFailed:
        _hasten(tasks.look_after_plugin_user)
        raise


@contextmanager
def changing(*, shares: bool = False) -> Iterator[PluginPool]:
    """Hand out the pool for a change, which is committed; what can be asked for at a Plug-in is then read anew."""
    refuse_silenced()
    if shares:
        standing.refuse_sharing(g.person.id)
    with answering() as pool:
        try:
            yield pool
        except CredentialRefused:
            db.session.commit()  # a consent that has ended has, whatever else was asked for
            raise
    db.session.commit()
    if plugin_in_use() is not None:
        soon(tasks.look_after_plugin_user, g.person.id)


def plugin_in_use() -> Plugin | None:
    """Return the Plug-in API that this service works with, if there is one."""
    found: Plugin | None = current_app.extensions["plugin"]
    return found


def _hasten(task: Any) -> None:
    plugin = plugin_in_use()
    if plugin is not None and plugin.may_hasten(g.person.id):
        soon(task, g.person.id)
