"""API keys: made and shown once, listed with what they may do, switched off, taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import g, render_template, request

from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced, refuse_stale
from shared_accounts.console import forms, key_terms, tools
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.keys import keyring
from shared_accounts.keys.models import ApiKey
from shared_accounts.requests_in import settings
from shared_accounts.usage.stats import series
from shared_accounts.usage.wanted import Wanted
from shared_accounts.users import standing

_PAGE = 50
_WEEK = timedelta(days=7)


@page("/keys")
def keys() -> Any:
    """List one's keys, newest first."""
    return listed()


@page("/keys/new")
def new_key() -> Any:
    """Ask for the name of a key, and for its limits."""
    return _asked({})


@act("/keys")
def create_key() -> Any:
    """Make a key; the answer is the only page that ever shows it."""
    refuse_new_secrets()
    given, errors = key_terms.load()
    if errors:
        return _asked(errors), 422
    try:
        key, secret = keyring.issue(g.person.id, **{**given, **_lists(given)})
    except Unprocessable as refusal:
        db.session.rollback()
        return _asked(forms.wrong(refusal, otherwise="name")), refusal.status
    trail.record("api_key.created", on=g.person.id, target=f"api_key:{key.id}")
    db.session.commit()
    return listed(fresh=(key.name, secret)), 201


@page("/keys/<int:key_id>/tools")
def key_tools(key_id: int) -> Any:
    """Show what to type into each tool; the key itself nobody can show again."""
    key = keyring.get(g.person.id, key_id)
    return render_template("screens/key_tools.html", key=key, tools=tools.filled(None), base_url=tools.base_url())


@act("/keys/<int:key_id>/switch")
def switch_key(key_id: int) -> Any:
    """Switch a key off, or on again."""
    on = request.form.get("on") == "1"
    keyring.switch(g.person.id, key_id, on=on)
    trail.record("api_key.switched", on=g.person.id, target=f"api_key:{key_id}", on_now=on)
    db.session.commit()
    return back("keys", said="on" if on else "off")


@page("/keys/<int:key_id>/revoke")
def revoking_key(key_id: int) -> Any:
    """Say what revoking a key ends."""
    return render_template("screens/key_revoke.html", key=keyring.get(g.person.id, key_id))


@act("/keys/<int:key_id>/revoke")
def revoke_key(key_id: int) -> Any:
    """Take a key back for good."""
    keyring.revoke(g.person.id, key_id)
    trail.record("api_key.deleted", on=g.person.id, target=f"api_key:{key_id}")
    db.session.commit()
    return back("keys", said="revoked")


def refuse_new_secrets() -> None:
    """Stop the silenced, and where new secrets need it, who signed in too long ago."""
    refuse_silenced()
    if settings().keys_need_fresh_sign_in:
        refuse_stale()


def listed(*, fresh: tuple[str, str] | None = None) -> str:
    """Show the keys, below a new secret if there is one."""
    number = forms.number("page")
    found, count = keyring.mine(g.person.id, number, _PAGE)
    week = Wanted(viewer=g.person.id, start=datetime.now(UTC) - _WEEK)
    return render_template(
        "screens/keys.html",
        keys=[(one, state(one)) for one in found],
        count=count,
        number=number,
        pages=-(-count // _PAGE),
        used={row.value: int(row.calls) for row in series(week, "api_key_id")} if found else {},
        fresh=fresh,
        tools=tools.filled(fresh and fresh[1]) if fresh or count else [],
        base_url=tools.base_url(),
        now=datetime.now(UTC),
        said=request.args.get("said", ""),
    )


def state(key: ApiKey) -> str:
    """Tell whether a key opens anything."""
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return "expired"
    return "active" if key.is_active else "off"


def _lists(given: dict[str, Any]) -> dict[str, list[str]]:
    return {name: list(given[name]) for name in ("models", "addresses")}


def _asked(errors: Errors) -> str:
    most = standing.allowance(g.person.id).max_keys
    return render_template("screens/key_new.html", errors=errors, filled=key_terms.sent(request.form), most=most)
