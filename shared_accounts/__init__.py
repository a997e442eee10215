"""Pool the AI accounts a group owns, and share them fairly."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from shared_accounts.config import Settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application; raises `ConfigurationError` naming everything that is missing or weak."""
    # Imported when called: the local launcher lives in this package, and must not wait a second for what it starts.
    from shared_accounts import app  # noqa: PLC0415

    return app.create_app(settings)
