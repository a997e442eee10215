"""A gunicorn of our own, whose throttles are wide open, and somebody of each kind to call it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from hypothesis.internal import lambda_sources

from tests.books import at_hand, opened
from tests.document.cast import Cast
from tests.document.upstream import serves_everything
from tests.gateway.server import Server
from tests.upstream import Upstream

_OFTEN = "100000 per minute"
_PROVIDER = {
    "id": "acme",
    "name": "Acme AI",
    "authorization_endpoint": "http://127.0.0.1:9/authorize",
    "token_endpoint": "http://127.0.0.1:9/token",
    "client_id": "id",
    "base_url": "http://127.0.0.1:9/v1",
}
SETTINGS = {
    # Whoever tries everything is not throttled; that a throttle bites has tests of its own.
    **dict.fromkeys(("LOGIN_LIMIT", "LOGIN_LIMIT_PER_ACCOUNT", "LOGIN_LIMIT_PER_ADDRESS", "VISIT_LIMIT"), _OFTEN),
    "SUPPLY_CACHE_SECONDS": "5",
    "MAX_BODY_BYTES": "300000",
    "REGISTRATION": "open",
    "METRICS_TOKEN": "metrics-5tK2vB8nQ1wE7rT4yU6iO9pA3sD",
    # A provider whose pages nobody asks for: the way there is told, and the way back is refused.
    "GITHUB_CLIENT_ID": "id",
    "GITHUB_CLIENT_SECRET": "g1thub-cl1ent-s3cret-0123456789",
    "OAUTH_CLIENT_ID": "id",
    "OAUTH_CLIENT_SECRET": "l1nux-do-cl1ent-s3cret-0123456789",
    **dict.fromkeys(
        ("OAUTH_AUTHORIZATION_ENDPOINT", "OAUTH_TOKEN_ENDPOINT", "OAUTH_USER_INFO_ENDPOINT"), "http://127.0.0.1:9/"
    ),
    "UPSTREAM_OAUTH_PROVIDERS": json.dumps([_PROVIDER]),
}


@pytest.fixture(scope="session", autouse=True)
def remembered_sources() -> Iterator[None]:
    """Hypothesis reads each source with lambdas once, not once for each of the threads that schemathesis starts.

    Three for each operation would parse thousands of schemathesis's lines over and over: a fifth of the time.
    """
    with pytest.MonkeyPatch.context() as patch:
        for cache in ("AST_LAMBDAS_CACHE", "LAMBDA_DIGEST_DESCRIPTION_CACHE"):
            patch.setattr(lambda_sources, cache, {})
        yield


@pytest.fixture(scope="session")
def described(environment: dict[str, str], new_database: Callable[[str], str]) -> dict[str, str]:
    """What the gunicorn here starts with."""
    return {**environment, **SETTINGS, "DATABASE_URL": new_database("described")}


@pytest.fixture(scope="session")
def server(described: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(described, tmp_path_factory.mktemp("gunicorn") / "log", app="tests.document.quick:app")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def document(server: Server) -> dict[str, Any]:
    """What the server says about itself."""
    with urllib.request.urlopen(f"{server.url}/api/openapi.json") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    made = Upstream(serves_everything)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def books(app: Flask, described: dict[str, str]) -> Flask:
    return opened(app, described)


@pytest.fixture
def cast(app: Flask, books: Flask, upstream: Upstream) -> Iterator[Cast]:
    """Who takes part: people, keys and accounts that no other test has."""
    with at_hand(app, books):
        yield Cast(upstream)
