"""What every page knows: who reads it, in which language and light, and what in the navigation needs her."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request, url_for
from markupsafe import Markup
from sqlalchemy import func, select

from shared_accounts.accounts.models import Account
from shared_accounts.console import csrf, show
from shared_accounts.console.door import blueprint
from shared_accounts.console.language import LANGUAGES, language, say_why
from shared_accounts.extensions import db
from shared_accounts.money import amounts

NEEDS_OWNER = ("needs_sign_in", "broken")
THEMES = ("auto", "light", "dark")

_STATIC = Path(__file__).parent / "static"


def prepare(app: Flask) -> None:
    """Teach an application's templates our words."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        units=show.units,
        plain_units=show.plain_units,
        exactly=show.exactly,
        count=show.count,
        clock=show.clock,
        timed=show.timed,
        when=show.when,
        day=show.day,
        seconds=show.seconds,
        took=show.took,
        month=show.month,
        date=show.date_of,
        iso=show.iso,
        share=show.share,
        price=show.price,
        translated=say_why,
    )
    app.jinja_env.globals.update(percent=show.percent, until=show.until, asset=asset, csrf_field=csrf_field)
    app.jinja_env.globals.update(an_hour=timedelta(hours=1), exact_money=amounts.exactly)


@blueprint.app_context_processor
def _frame() -> dict[str, Any]:
    return {
        "person": g.get("person"),
        "theme": theme(),
        "lang": language(),
        "html_lang": LANGUAGES[language()],
        "need": need,
        "is_fragment": request.headers.get("X-Fragment") == "dialog",
        "here": (request.endpoint or "").rpartition(".")[2],
    }


def theme() -> str:
    """Return the light that was chosen; `auto` follows the system."""
    chosen = request.cookies.get("theme")
    return chosen if chosen in THEMES else "auto"


def need() -> int:
    """Count the reader's accounts that nobody but she can bring back; a page that has read them leaves word of it."""
    found: int = g.need if "need" in g else held()[1]
    return found


def held() -> tuple[int, int]:
    """Count the accounts the reader has ever contributed, and those that need her; asked once for a page."""
    if "held" not in g:
        waiting = func.count().filter(Account.state.in_(NEEDS_OWNER))
        query = select(func.count(), waiting).where(Account.owner_id == g.person.id)
        g.held = db.session.execute(query).tuples().one()
    found: tuple[int, int] = g.held
    return found


def csrf_field() -> Markup:
    """Return what makes a form one of ours."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(csrf.FIELD, csrf.token())


def asset(name: str) -> str:
    """Return a file's address, which changes when any file does: the modules that import each other move together."""
    return url_for("console.kept", release=_release(), filename=name)


@blueprint.get("/assets/at-<release>/<path:filename>")
def kept(release: str, filename: str) -> Response:
    """Serve a file that browsers may keep if it is of this release; of another one's they must not keep ours."""
    response = blueprint.send_static_file(filename)
    if release == _release():
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@cache
def _release() -> str:
    files = sorted(path for path in _STATIC.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
