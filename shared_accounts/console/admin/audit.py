"""Who did what, on whom, from where; nothing here can be changed."""

from __future__ import annotations

from typing import Any

from flask import render_template, request

from shared_accounts.admin import audit_api
from shared_accounts.console import forms
from shared_accounts.console.admin.gate import admin_page
from shared_accounts.users import roster

_PAGE = 50
FAMILIES = (
    "user",
    "session",
    "sign_in",
    "identity",
    "second_factor",
    "invitation",
    "account",
    "api_key",
    "quota",
    "model_rule",
    "price",
    "trust_level",
    "settings",
    "job",
)
"""What acts are about: the first part of their names."""


@admin_page("/audit")
def audit() -> Any:
    """List sensitive acts, newest first."""
    number = forms.number("page")
    filters, nobody = _filters()
    found, count = ([], 0) if nobody else audit_api.listed(number, _PAGE, **filters)
    shown = {name: request.args.get(name, "").strip()[:100] for name in ("act", "actor", "user")}
    return render_template(
        "admin/audit.html",
        entries=found,
        families=FAMILIES,
        filters={name: value for name, value in shown.items() if value},
        count=count,
        number=number,
        pages=-(-count // _PAGE),
    )


def _filters() -> tuple[dict[str, Any], bool]:
    """Return the filters of the query, and whether they name somebody who is not here."""
    found: dict[str, Any] = {}
    if request.args.get("act", "") in FAMILIES:
        found["act"] = request.args["act"]
    for name in ("actor", "user"):
        asked = request.args.get(name, "").strip()
        if asked:
            person = roster.find_by_username(asked)
            if person is None:
                return {}, True
            found[f"{name}_id"] = person.id
    return found, False
