"""What somebody should know: her alerts, newest first, and where they are sent besides."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import current_app, g, render_template, request, url_for
from sqlalchemy import func, select

from shared_accounts.alerts import inbox, preferences, wording
from shared_accounts.alerts.models import Alert
from shared_accounts.alerts.schemas import AlertPreferencesChange
from shared_accounts.audit import trail
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.console import forms, show
from shared_accounts.console.door import act, back, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.language import language
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.requests_in import settings

_PAGE = 50
_MOST_NEWS = 3
_ON_ACCOUNTS = ("account_needs_sign_in", "account_broken", "credential_expiring")


@page("/alerts")
def alerts() -> Any:
    """List alerts, and ask where they should be sent."""
    return _shown({})


@act("/alerts/read")
def read_alerts() -> Any:
    """Mark one alert as read, or all."""
    asked = request.form.get("alert_id", "")
    if asked.isascii() and asked.isdecimal():
        inbox.mark_read(g.person.id, int(asked[:15]))
    else:
        inbox.mark_all_read(g.person.id)
    db.session.commit()
    return back("overview" if request.form.get("from") == "overview" else "alerts")


@act("/alerts/preferences")
def change_alerts() -> Any:
    """Change where alerts are sent; a new webhook's secret is in the answer, this once."""
    refuse_silenced()
    given = forms.values()
    wanted: dict[str, Any] = {"email": given.get("email"), "webhook_url": given.get("webhook_url")}
    wanted |= {name: request.form.getlist(name) for name in ("by_email", "by_webhook")}
    loaded, errors = forms.load(AlertPreferencesChange(), wanted | {"new_webhook_secret": "renew" in given})
    if errors:
        return _shown(errors, wanted), 422
    vault, allowed = current_app.extensions["vault"], settings().webhook_allowed_hosts
    try:
        secret = preferences.change(g.person.id, loaded, vault=vault, allowed=allowed)
    except Unprocessable as refusal:
        db.session.rollback()
        return _shown(forms.wrong(refusal, otherwise="webhook_url"), wanted), refusal.status
    trail.record("alerts.preferences_changed", on=g.person.id, changed=sorted(wanted))
    db.session.commit()
    return _shown({}, secret=secret) if secret else back("alerts", said="saved")


def news() -> list[dict[str, Any]]:
    """Return the newest alerts nobody has read yet, a few of them."""
    unread = inbox.alerts(g.person.id, unread=True).limit(_MOST_NEWS)
    return [_told(one) for one in db.session.scalars(unread)]


def _shown(errors: Errors, typed: dict[str, Any] | None = None, *, secret: str | None = None) -> str:
    number, query = forms.number("page"), inbox.alerts(g.person.id)
    unread = func.count().filter(Alert.read_at.is_(None))
    count, waiting = db.session.execute(select(func.count(), unread).where(Alert.user_id == g.person.id)).one()
    found = db.session.scalars(query.offset((number - 1) * _PAGE).limit(_PAGE))
    return render_template(
        "screens/alerts.html",
        alerts=[_told(one) for one in found],
        count=count,
        waiting=waiting,
        number=number,
        pages=-(-count // _PAGE),
        wanted=typed or preferences.of(g.person.id),
        kinds=preferences.KINDS,
        mails=bool(settings().smtp_host),
        errors=errors,
        secret=secret,
        said=request.args.get("said", ""),
    )


def _told(alert: Alert) -> dict[str, Any]:
    """Say an alert in the reader's language, with where to go about it."""
    details = dict(alert.details)
    if "expires_at" in details:
        moment = datetime.fromisoformat(details["expires_at"])
        details["expires_at"] = f"{show.day(moment)} {show.clock(moment)}"
    if language() == "zh":
        title, text = wording.in_chinese(alert.kind, details), ""
    else:
        title, text = wording.title(alert.kind, details), wording.sentence(alert.kind, details)
    return {"row": alert, "title": title, "text": text, "href": _place(alert)}


def _place(alert: Alert) -> str | None:
    details = alert.details
    if alert.kind == "quota_low":
        return url_for("console.quota", group=details["model_group"])
    if alert.kind in _ON_ACCOUNTS:
        return url_for("console.account", account_id=details["account_id"])
    return url_for("console.key", key_id=details["key_id"]) if alert.kind == "key_expiring" else None
