"""What may be changed while the service runs: settings, and what people of each trust level may do."""

from __future__ import annotations

from typing import Any

from flask import render_template, request

from shared_accounts.admin import settings_api
from shared_accounts.admin.schemas import TrustLevelChange
from shared_accounts.console import forms
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import say
from shared_accounts.errors import NotFound, Unprocessable
from shared_accounts.extensions import db
from shared_accounts.live_settings import CHANGEABLE
from shared_accounts.users import standing
from shared_accounts.users.models import TrustLevel

_AMOUNTS = {"quota_capacity_per_account", "quota_refill_per_account", "max_account_worth"}
_AMOUNT = "Not an amount of units, such as 0.5."
_LIMITS = ("max_keys", "requests_per_minute", "max_concurrent")


@admin_page("/settings")
def group_settings() -> Any:
    """Show the settings an admin can change, and the trust levels."""
    return _shown({})


@admin_act("/settings")
def change_settings() -> Any:
    """Change settings, at once and for every process; an empty field gives one back to the environment."""
    given, now = forms.values(), settings_api.shown()
    wanted = {name: given.get(name) for name in CHANGEABLE if name in request.form}
    changes = {name: text for name, text in wanted.items() if text != _overlaid(now[name])}
    try:
        settings_api.put(changes)
    except Unprocessable as refusal:
        db.session.rollback()
        return _shown(forms.wrong(refusal, otherwise="registration")), refusal.status
    db.session.commit()
    return news.tell("group_settings", "saved")


@admin_page("/settings/trust/<int:level>")
def trust_level(level: int) -> Any:
    """Ask what people of a trust level may do."""
    return _asked(_level(level), {})


@admin_act("/settings/trust/<int:level>")
def change_trust(level: int) -> Any:
    """Change what people of a trust level may do, from their next request on; an empty field lifts a limit."""
    given = forms.values()
    asked: dict[str, Any] = {name: given.get(name) for name in _LIMITS}
    asked["may_share"] = "may_share" in given
    changes, errors = forms.load(TrustLevelChange(), asked)
    if errors:
        return _asked(_level(level), errors), 422
    standing.change_trust_level(level, changes)
    db.session.commit()
    return news.tell("group_settings", "trust")


def _overlaid(setting: dict[str, Any]) -> str | None:
    return setting["value"] if setting["changed_at"] else None


def _level(level: int) -> TrustLevel:
    found = db.session.get(TrustLevel, level)
    if found is None:
        raise NotFound
    return found


def _shown(errors: Errors) -> str:
    now = settings_api.shown()
    filled = {name: request.form.get(name, "") if errors else _overlaid(one) or "" for name, one in now.items()}
    if errors:
        errors = {name: say(_AMOUNT if name in _AMOUNTS else "This is not a valid value.") for name in errors}
    return render_template(
        "admin/settings.html",
        settings=now,
        filled=filled,
        levels=standing.trust_levels(),
        errors=errors,
        news=news.told(),
    )


def _asked(found: TrustLevel, errors: Errors) -> str:
    filled = {name: request.form.get(name, "") if errors else getattr(found, name) for name in _LIMITS}
    may_share = "may_share" in request.form if errors else found.may_share
    return render_template(
        "admin/trust_level.html", level=found.level, may_share=may_share, filled=filled, errors=errors
    )
