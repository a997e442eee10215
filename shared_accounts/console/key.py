"""One key: what it may do and has spent, changed and given a new secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import g, render_template, request

from shared_accounts.audit import trail
from shared_accounts.console import forms, key_terms, keys
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.extensions import db
from shared_accounts.keys import budgets, keyring, limits
from shared_accounts.keys.schemas import Rotation
from shared_accounts.usage.stats import series
from shared_accounts.usage.wanted import Wanted

GRACES = (0, 60, 1440)
"""How many minutes the former secret may stay good."""

_WEEK = timedelta(days=7)


@page("/keys/<int:key_id>")
def key(key_id: int) -> Any:
    """Show a key, what it may do and how its budgets stand."""
    return _shown(key_id, {}, {})


@act("/keys/<int:key_id>")
def change_key(key_id: int) -> Any:
    """Lay down what the key may do, from its next request on."""
    given, errors = key_terms.load()
    if errors:
        return _shown(key_id, errors, key_terms.sent(request.form)), 422
    found = keyring.get(g.person.id, key_id, to_change=True)
    changed = sorted(name for name, value in given.items() if getattr(found, name) != _as_kept(value))
    limits.change(found, {name: _as_kept(value) for name, value in given.items()})
    trail.record("api_key.changed", on=g.person.id, target=f"api_key:{key_id}", fields=changed)
    db.session.commit()
    return back("key", key_id=key_id, said="saved")


@page("/keys/<int:key_id>/rotate")
def rotating_key(key_id: int) -> Any:
    """Ask how long the former secret shall stay good."""
    return render_template("screens/key_rotate.html", key=keyring.get(g.person.id, key_id), graces=GRACES)


@act("/keys/<int:key_id>/rotate")
def rotate_key(key_id: int) -> Any:
    """Give the key another secret; the answer is the only page that ever shows it."""
    keys.refuse_new_secrets()
    given, errors = forms.load(Rotation(), {"grace_minutes": request.form.get("grace_minutes", "0")})
    minutes = 0 if errors else given["grace_minutes"]
    found, secret = keyring.rotate(g.person.id, key_id, timedelta(minutes=minutes))
    trail.record("api_key.rotated", on=g.person.id, target=f"api_key:{key_id}", grace_minutes=minutes)
    db.session.commit()
    return keys.listed(fresh=(found.name, secret))


def _as_kept(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(key_id: int, errors: Errors, typed: dict[str, str]) -> str:
    found = keyring.get(g.person.id, key_id)
    week = Wanted(viewer=g.person.id, api_key_id=key_id, start=datetime.now(UTC) - _WEEK)
    used = series(week, "model")
    return render_template(
        "screens/key.html",
        key=found,
        state=keys.state(found),
        filled=typed or key_terms.filled(found),
        errors=errors,
        standing=budgets.standing(key_id),
        used=used[:8],
        calls=sum(row.calls for row in used),
        now=datetime.now(UTC),
        said=request.args.get("said", ""),
    )
