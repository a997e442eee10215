"""Pool the AI accounts a group owns, and share them fairly."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from shared_accounts.config import Settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application; raises `ConfigurationError` naming everything that is missing or weak."""
    # Imported when called: the local launcher lives in this package, and must not wait a second for what it starts.
    with _nothing_thrown_away():
        from shared_accounts import app  # noqa: PLC0415

        return app.create_app(settings)


@contextmanager
def _nothing_thrown_away() -> Iterator[None]:
    """Search for no garbage meanwhile: modules, models and routes are none, and a sixth of the start went to it."""
    was_searched_for = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_searched_for:
            gc.enable()
