"""Is it up? For people (`/api/health`), and for whatever restarts (`/livez`) or routes to (`/readyz`) a process.

Each answers within about a second, also when a server accepts connections and then says nothing.
"""

from __future__ import annotations

import functools
import select
import time
from pathlib import Path
from typing import Any

import psycopg2
from marshmallow import Schema, fields
from psycopg2.extensions import POLL_OK, POLL_READ, connection
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared_accounts.json_bodies import Door
from shared_accounts.requests_in import settings

blueprint = Door("health", __name__, description="Is it up?")

_POSTGRES_SECONDS = 0.8
_REDIS_SECONDS = 0.25
_MIGRATIONS = Path(__file__).parent.parent / "migrations"


class Component(Schema):
    """What one part says of itself."""

    status = fields.String()
    message = fields.String()
    type = fields.String()


class Components(Schema):
    """The parts."""

    api = fields.Nested(Component)
    database = fields.Nested(Component)
    cache = fields.Nested(Component)


class Health(Schema):
    """What works."""

    status = fields.String(metadata={"description": "healthy, degraded (slower, less exact) or unhealthy"})
    components = fields.Nested(Components)


class Greeting(Schema):
    """Who answers here."""

    message = fields.String()
    service = fields.String()
    documentation = fields.String(allow_none=True)


class Probe(Schema):
    """One word."""

    status = fields.String()


@blueprint.get("/")
@blueprint.response(200, Greeting)
def index() -> dict[str, Any]:
    """Say who answers here."""
    docs = "/api/docs" if settings().docs_enabled else None
    return {"message": "200", "service": "shared_accounts", "documentation": docs}


@blueprint.get("/api/health")
@blueprint.response(200, Health)
@blueprint.alt_response(503, schema=Health)
def health() -> tuple[dict[str, Any], int]:
    """Show what works.

    Without PostgreSQL nothing does: `unhealthy`, 503. Without Redis only throttles are less exact and
    scheduled work waits: `degraded`, 200.
    """
    database, cache = database_answers(), _redis_answers()
    status = "unhealthy" if not database else "healthy" if cache else "degraded"
    components = {
        "api": _component(works=True),
        "database": {**_component(works=database), "type": "PostgreSQL"},
        "cache": {**_component(works=cache), "type": "Redis"},
    }
    return {"status": status, "components": components}, 200 if database else 503


@blueprint.get("/livez")
@blueprint.response(200, Probe)
def livez() -> dict[str, str]:
    """Answer as long as the process can; depends on nothing."""
    return {"status": "alive"}


@blueprint.get("/readyz")
@blueprint.response(200, Probe)
@blueprint.alt_response(503, schema=Probe)
def readyz() -> tuple[dict[str, str], int]:
    """Tell whether to send requests here: PostgreSQL answers and its tables are not older than this code."""
    try:
        revision = _ask("select version_num from alembic_version")
    except psycopg2.Error:
        revision = None
    ready = revision is not None and revision not in _outdated()
    return {"status": "ready" if ready else "not ready"}, 200 if ready else 503


def _component(*, works: bool) -> dict[str, str]:
    return {"status": "healthy", "message": "works"} if works else {"status": "unhealthy", "message": "does not answer"}


def database_answers() -> bool:
    """Tell whether PostgreSQL answers a new connection within a second."""
    try:
        return _ask("select 'yes'") is not None
    except psycopg2.Error:
        return False


def _redis_answers() -> bool:
    once = Retry(NoBackoff(), 0)
    client = Redis.from_url(
        settings().redis_url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS, retry=once
    )
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()


def _ask(query: str) -> str | None:
    """Run a query on a connection of its own, so that a full pool does not look like a dead server.

    The connection is asynchronous because neither libpq's connect timeout nor the server's statement timeout
    helps when the server is frozen.
    """
    end = time.monotonic() + _POSTGRES_SECONDS
    asked = psycopg2.connect(settings().database_url.replace("+psycopg2", "", 1), async_=True)
    try:
        _wait(asked, end)
        cursor = asked.cursor()
        cursor.execute(query)
        _wait(asked, end)
        row = cursor.fetchone()
        return str(row[0]) if row else None
    finally:
        asked.close()


def _wait(asked: connection, end: float) -> None:
    while (state := asked.poll()) != POLL_OK:
        left = max(0.0, end - time.monotonic())
        waiting = ([asked], []) if state == POLL_READ else ([], [asked])
        if not any(select.select(*waiting, [], left)):
            raise psycopg2.OperationalError("no answer in time")


@functools.cache
def _outdated() -> frozenset[str]:
    """Return the revisions older than the newest one here; one unknown here belongs to a newer release."""
    # From their names, which are their numbers: asking Alembic would load it into every worker.
    numbers = sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    return frozenset(numbers[:-1])
