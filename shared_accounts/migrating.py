"""Flask-Migrate, loaded by whoever migrates.

No worker ever does, and Alembic with all it brings, down to a highlighter of code, is 8 MB in each of them and a tenth
of the time it takes to start.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import click
from flask import Flask

from shared_accounts.extensions import db

_FOLDER = "migrations"


class _Later:
    """What Flask-Migrate looks for in `app.extensions`."""

    db = db
    directory = _FOLDER

    @cached_property
    def migrate(self) -> Any:
        """Flask-Migrate's own object."""
        from flask_migrate import Migrate  # noqa: PLC0415

        return Migrate(db=db, directory=_FOLDER)


class _Commands(click.Group):
    """`flask db`: the moment it is called, or asked what it can do, Flask-Migrate's own group takes its place."""

    @cached_property
    def _theirs(self) -> click.Group:
        from flask_migrate.cli import db as theirs  # noqa: PLC0415

        return theirs  # type: ignore[no-any-return]

    @property
    def commands(self) -> Any:
        """What there is to do."""
        return self._theirs.commands

    @commands.setter
    def commands(self, _: object) -> None:
        """Take no others."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return a context of theirs."""
        return self._theirs.make_context(info_name, args, parent, **extra)


def register(app: Flask) -> None:
    """Make the application one that can be migrated."""
    app.extensions["migrate"] = _Later()
    app.cli.add_command(_Commands("db", help="Perform database migrations."))
