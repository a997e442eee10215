"""What whoever runs this should know; read by one admin is read by all."""

from __future__ import annotations

from typing import Any

from flask import render_template
from sqlalchemy import func, select

from shared_accounts.alerts import inbox, wording
from shared_accounts.alerts.models import Alert
from shared_accounts.console import forms
from shared_accounts.console.admin import news
from shared_accounts.console.admin.gate import admin_act, admin_page
from shared_accounts.console.language import language
from shared_accounts.extensions import db

_PAGE = 50


@admin_page("/alerts")
def group_alerts() -> Any:
    """List the alerts for admins, newest first."""
    number, query = forms.number("page"), inbox.alerts(None)
    count = db.session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    return render_template(
        "admin/alerts.html",
        alerts=[(one, *_said(one)) for one in db.session.scalars(query.offset((number - 1) * _PAGE).limit(_PAGE))],
        unread=inbox.count_unread(None),
        count=count,
        number=number,
        pages=-(-count // _PAGE),
        news=news.told(),
    )


@admin_act("/alerts/read")
def read_group_alerts() -> Any:
    """Mark all alerts for admins as read."""
    inbox.mark_all_read(None)
    db.session.commit()
    return news.tell("group_alerts", "read")


def _said(alert: Alert) -> tuple[str, str]:
    """Return title and text; in Chinese both are one sentence."""
    if language() == "zh":
        return wording.in_chinese(alert.kind, alert.details), ""
    return wording.title(alert.kind, alert.details), wording.sentence(alert.kind, alert.details)
