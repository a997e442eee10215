"""Pictures of the console's screens, made of a small invented world.

    python -m tests.console.pictures                 the main screens, into docs/screens/
    python -m tests.console.pictures FOLDER          all of them, in both lights, sizes and languages
    python -m tests.console.pictures FOLDER users    those of them whose name begins so

It needs a Chromium on the machine. A picture is as large as its screen, and its colours are few, so that it is small.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
from cryptography.fernet import Fernet
from flask import Flask
from PIL import Image
from playwright.sync_api import sync_playwright

from shared_accounts import create_app
from shared_accounts.config import load
from shared_accounts.extensions import db
from shared_accounts.local.servers import Postgres, Redis, create_database, free_port
from tests import factories
from tests.conftest import ROOT
from tests.console import crowd, places, world
from tests.console.browser import DESK, PHONE, Watched, launched, served

SHOWN = {
    "sign-in": "light",
    "overview": "light",
    "accounts": "light",
    "account": "dark",
    "keys": "light",
    "usage": "light",
    "usage-charts": "dark",
    "exchange-served": "light",
    "quota": "light",
    "playground": "light",
    "users": "dark",
    "models": "light",
    "jobs": "light",
    "audit": "dark",
    "settings": "light",
    "status": "light",
}
"""The main screens, and the light in which the documentation shows each."""

_COLOURS = 64
_LOOKS = [(DESK, "light", "en"), (DESK, "dark", "zh"), (PHONE, "light", "zh"), (PHONE, "dark", "en")]


def main(folder: str = "", only: str = "") -> None:
    """Make them."""
    target = Path(folder) if folder else ROOT / "docs" / "screens"
    target.mkdir(parents=True, exist_ok=True)
    with _application() as app, app.app_context():
        admin = world.settled(username="Lin Wei", role="admin")
        crowd.gathered(admin)
        paths = {"sign-in": "/sign-in", **places.every()}
        db.session.commit()
        with served(app) as home, sync_playwright() as play:
            browser = launched(play)
            if folder:
                wanted = {name: path for name, path in paths.items() if name.startswith(only)}
                for size, light, lang in _LOOKS:
                    _take(browser, home, wanted, target, size, light, lang, f"-{size['width']}-{light}-{lang}")
            else:
                for name, light in SHOWN.items():
                    _take(browser, home, {name: paths[name]}, target, DESK, light, "en", "")
            browser.close()


def _take(
    browser: Any, home: str, paths: dict[str, str], target: Path, size: Any, light: str, lang: str, suffix: str
) -> None:
    locale = {"zh": "zh-CN", "en": "en-GB"}[lang]
    context = browser.new_context(viewport=size, color_scheme=light, locale=locale, timezone_id="Europe/Vienna")
    page = Watched(context.new_page(), home)
    if "sign-in" in paths:
        page.go("/sign-in")
        _save(page.page, target / f"sign-in{suffix}.png", whole=bool(suffix))
    page.sign_in("Lin Wei", factories.PASSWORD)
    for name, path in paths.items():
        if name != "sign-in":
            page.go(path)
            _save(page.page, target / f"{name}{suffix}.png", whole=bool(suffix))
    context.close()


def _save(page: Any, path: Path, *, whole: bool) -> None:
    picture = page.screenshot(full_page=whole, animations="disabled")
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


@contextmanager
def _application() -> Iterator[Flask]:
    """An application with servers of its own, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        postgres, redis = Postgres(Path(folder) / "pg", free_port()), Redis(Path(folder) / "redis", free_port())
        try:
            postgres.start()
            redis.start()
            create_database(postgres.url("postgres"), "pictures")
            app = create_app(load(_environment(postgres, redis)))
            with app.app_context():
                flask_migrate.upgrade(directory=str(ROOT / "migrations"))
            yield app
        finally:
            redis.stop()
            postgres.destroy()


def _environment(postgres: Postgres, redis: Redis) -> dict[str, str]:
    return {
        "APP_ENV": "development",
        "DATABASE_URL": postgres.url("pictures"),
        "REDIS_URL": redis.url(),
        "SECRET_KEY": "Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6Ua",
        "JWT_SECRET_KEY": "w2Yk7Qe9Rt4Zs1Xc6Vb3Nm8Lp5Dj0Hg-",
        "PLUGIN_API_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "REGISTRATION": "invite",
        "LOG_LEVEL": "ERROR",
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
