"""The steps of a single sign-on, as a program and as a browser take them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from shared_accounts.extensions import db
from tests.auth.idp import fields

PAGE = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NOBODY = {"users": 0, "identities": 0, "sessions": 0}


@contextmanager
def offering(app: Any, *servers: Any, **overrides: Any) -> Iterator[None]:
    """Have these providers set up for a while."""
    before = app.extensions["sso_providers"]
    providers = [server.provider(**overrides) for server in servers]
    app.extensions["sso_providers"] = {provider.id: provider for provider in providers}
    try:
        yield
    finally:
        app.extensions["sso_providers"] = before


def begin(client: Any, provider: str, **query: str) -> str:
    """The address of the provider's page."""
    answer = client.get(f"/api/auth/oidc/{provider}/login", query_string=query)
    assert answer.status_code == 200, answer.json
    assert fields(urlsplit(answer.json["authorization_url"]).query)["state"] == answer.json["state"]
    return str(answer.json["authorization_url"])


def come_back(client: Any, provider: str, brought: dict[str, str], **options: Any) -> Any:
    return client.get(f"/api/auth/oidc/{provider}/callback", query_string=brought, **options)


def sign_in(client: Any, server: Any, **options: Any) -> Any:
    """The whole way of a program; returns the last answer."""
    return come_back(client, server.id, server.authorize(begin(client, server.id)), **options)


def news(answer: Any) -> dict[str, str]:
    """What a browser is told as it lands."""
    assert answer.status_code == 302, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    return fields(urlsplit(answer.headers["Location"]).query)


def there_are() -> dict[str, int]:
    """How many users, identities and sessions exist."""
    return {table: db.session.execute(db.text(f"select count(*) from {table}")).scalar_one() for table in NOBODY}
