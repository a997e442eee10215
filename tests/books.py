"""The tables of a database that a server of its own uses, as the test's process sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from sqlalchemy import event

from shared_accounts.config import load
from shared_accounts.crypto import Vault
from shared_accounts.extensions import db, jwt, statements
from tests.conftest import have_patience_with_us


def opened(app: Flask, environment: dict[str, str]) -> Flask:
    """Return an application that has the tables of `environment`'s database; no doors, no second set of globals."""
    settings = load(environment)
    made = Flask("books")
    made.config.from_mapping(app.config | {"SQLALCHEMY_DATABASE_URI": settings.database_url})
    made.extensions |= {"settings": settings, "vault": Vault(settings.plugin_api_encryption_key)}
    db.init_app(made)
    jwt.init_app(made)
    with made.app_context():
        event.listen(db.engine, "connect", have_patience_with_us)
    return made


@contextmanager
def at_hand(app: Flask, books: Flask) -> Iterator[Flask]:
    """`db.session` and the prepared statements speak to that database for a while."""
    ours, theirs = books.extensions["settings"], app.extensions["settings"]
    statements.bind(ours.database_url, size=4, timeout_ms=ours.statement_timeout_ms)
    with books.app_context():
        try:
            yield books
        finally:
            db.session.remove()
            statements.bind(
                theirs.database_url, size=theirs.statement_pool_size, timeout_ms=theirs.statement_timeout_ms
            )
