"""A browser without scripts: a test client that looks at pages, keeps cookies and sends forms as they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, template_rendered
from playwright.sync_api import sync_playwright

from shared_accounts import console, create_app
from shared_accounts.extensions import db
from shared_accounts.users.models import User
from tests import factories
from tests.accounts.conftest import upstream  # noqa: F401 - a fixture
from tests.accounts.oauth_server import OAuthServer
from tests.auth.flow import offering
from tests.auth.linux_do import LinuxDo
from tests.conftest import Client, _have_patience_with_redis
from tests.console import crowd, looks, places, world
from tests.console.browser import launched, served
from tests.console.reader import Reader
from tests.upstream import Upstream, answers


@pytest.fixture(scope="session")
def app(settings) -> Flask:
    made = create_app(settings)
    if "console" not in made.blueprints:
        console.register(made)
    made.test_client_class = Client
    db.session.session_factory.configure(join_transaction_mode="create_savepoint")
    _have_patience_with_redis(5)
    return made


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """A real browser, started once for all that look at pages with it."""
    with sync_playwright() as play:
        browser = launched(play)
        yield browser
        browser.close()


@pytest.fixture
def home(app, committed, client) -> Iterator[str]:
    """The address of a real server."""
    with served(app) as address:
        yield address


@pytest.fixture
def seen(chromium, home, app, upstream, with_settings) -> Iterator[Callable[[str], dict[str, list[str]]]]:  # noqa: F811
    """Look at every screen in a language, in every light and size; returns what is wrong with which, or never seen."""
    lin = world.settled(username="Lin Wei", role="admin")
    crowd.gathered(lin)
    nora = factories.user(username="nora", password=factories.PASSWORD)
    of_lin = {**places.every(), **places.consents(), **places.dialogs(), **places.answers(upstream.url)}
    readers = {"": places.strangers(), nora.username: places.newcomers(), lin.username: of_lin}
    db.session.commit()

    def look(lang: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        unseen = looks.templates()
        with template_rendered.connected_to(lambda *_, template, **__: unseen.discard(template.name), app):
            for name, screens in readers.items():
                found |= looks.what_is_wrong(looks.looked_at(chromium, home, lang, name), lang, screens)
        return found | ({"never seen": sorted(unseen)} if unseen else {})

    linux_do, acme = LinuxDo(), OAuthServer()
    with offering(app, linux_do), with_settings(registration="invite", upstream_oauth_providers=(acme.provider(),)):
        yield look
    app.extensions["wire"].sweep()
    linux_do.stop()
    acme.stop()


@pytest.fixture
def reader(app, client) -> Reader:
    """A stranger's browser."""
    return Reader(app)


@pytest.fixture
def lin(client) -> User:
    """Somebody with a password."""
    return factories.user(username="Lin Wei", password=factories.PASSWORD)


@pytest.fixture
def signed_in(app, client) -> Callable[..., Reader]:
    """Give a user a browser, signed in through the page."""

    def sign(user: User, **cookies: str) -> Reader:
        name = user.username
        made = Reader(app, **cookies)
        assert made.sign_in(name).status == 303
        return made

    return sign


@pytest.fixture
def browser(signed_in, lin) -> Reader:
    """Lin's browser."""
    return signed_in(lin)


@pytest.fixture
def model_server(app: Flask) -> Iterator[Upstream]:
    """An upstream that greets."""
    made = Upstream(answers("Hello there"))
    yield made
    app.extensions["wire"].sweep()
    made.stop()
