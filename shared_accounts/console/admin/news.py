"""What a form of the group's pages has done, told on the page it leads back to; what can be undone can be undone there.

Invariant: an address decides only which of our own sentences is shown, and about whom; the name comes from the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import request, url_for
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as Answer

from shared_accounts.console import forms
from shared_accounts.extensions import db
from shared_accounts.users.models import User

STATES = ("active", "silenced", "disabled")


@dataclass(frozen=True, slots=True)
class News:
    """What was done to whom, and the state she had before, if it can be given back."""

    word: str
    about: User | None
    before: str


def told() -> News:
    """Return what the address tells; nothing for what it makes up."""
    number = forms.number("who", default=0) if request.args.get("who") else 0
    about = db.session.get(User, number) if number else None
    before = request.args.get("before", "")
    return News(request.args.get("said", ""), about, before if before in STATES else "")


def tell(endpoint: str, said: str, **values: Any) -> Answer:
    """Answer a form that was served, and keep the filters of the list it was in."""
    kept = {name: request.form[f"kept_{name}"] for name in ("search", "state", "role", "page") if kept_value(name)}
    return redirect(url_for(f"console.{endpoint}", **{**kept, **values}, said=said), 303)


def kept_value(name: str) -> str:
    """Return a filter of the list that a form stood in."""
    return request.form.get(f"kept_{name}", "")[:100]
