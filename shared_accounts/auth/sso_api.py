"""/api/auth, by way of a provider: leaving, coming back, and the one-time code that a browser brings.

Invariant: no token stands in a URL, and nothing that came in one is told or logged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields, validate

from shared_accounts.auth import browser_api as browser
from shared_accounts.auth import sso, throttle, tickets
from shared_accounts.auth.api import arrived, vault
from shared_accounts.auth.providers import GITHUB, LINUX_DO
from shared_accounts.auth.refused import InvalidOAuthState
from shared_accounts.auth.return_api import begin, bring_back, come_back, leave, providers
from shared_accounts.auth.schemas import SignedIn
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door, View
from shared_accounts.users import roster

blp = Door("sso", __name__, url_prefix="/api/auth", description="Signing in by way of a provider")

# Not a schema: what a provider sends is its own affair, and a code may well look like a number of absurd length.
_ANSWER = [{"in": "query", "name": name, "schema": {"type": "string"}} for name in ("code", "state", "iss", "error")]
_takes_an_answer: Callable[[View], View] = blp.doc(parameters=_ANSWER)
_TO_A_PAGE = {"description": "To a browser: back to the pages, with `sign_in_code` or `sign_in_error`."}


class Wish(Schema):
    """Where to go afterwards, and how to get away."""

    next = fields.String(load_default="/", metadata={"description": "A path of ours; anything else is taken for `/`"})
    redirect = fields.Boolean(load_default=False, metadata={"description": "Answer 302 instead of JSON"})


class Departure(Schema):
    """Where to send the browser."""

    authorization_url = fields.String()
    state = fields.String()


class ProviderSchema(Schema):
    """A provider that is set up here."""

    id = fields.String()
    name = fields.String()
    type = fields.String(attribute="kind", metadata={"description": "`oauth2` or `oidc`"})
    enabled = fields.Constant(constant=True, metadata={"type": "boolean"})
    supports_refresh = fields.Constant(constant=True, metadata={"type": "boolean", "description": "Of our own tokens"})
    description = fields.Function(lambda one: f"Sign in with {one.name}", metadata={"type": "string"})


class Providers(Schema):
    """The providers that are set up here."""

    providers = fields.List(fields.Nested(ProviderSchema))


class Return(Schema):
    """What a provider added to the redirect address."""

    code = fields.String(required=True, validate=validate.Length(min=1, max=4096))
    state = fields.String(required=True, validate=validate.Length(min=1, max=256))
    iss = fields.String(validate=validate.Length(max=512))


class OneTimeCode(Schema):
    """What a browser came back with as `sign_in_code`."""

    code = fields.String(required=True, validate=validate.Length(min=1, max=256))


@blp.get("/oidc/providers")
@blp.response(200, Providers)
def list_providers() -> dict[str, Any]:
    """List the ways to sign in without a password."""
    return {"providers": list(providers().values())}


@blp.get("/oidc/<provider>/login")
@blp.arguments(Wish, location="query")
@blp.response(200, Departure)
@blp.alt_response(302, description="To a browser, or with `redirect=1`: to the provider.")
@blp.refuses(400, 429, 502)
def login(query: dict[str, Any], provider: str) -> Response:
    """Begin to sign in with a provider.

    Sets a cookie that the browser must still have when it comes back within ten minutes.
    """
    if not query["redirect"] and not browser.wants_page():
        return begin(provider, query["next"])
    url, _, cookie = leave(provider, query["next"])
    return browser.remember(browser.send(url), cookie)


@blp.get("/oidc/<provider>/callback")
@_takes_an_answer
@blp.response(200, SignedIn)
@blp.alt_response(302, **_TO_A_PAGE)
@blp.refuses(400, 401, 403, 409, 422, 429, 502)
def callback(provider: str) -> Response | dict[str, Any]:
    """Take a provider's answer.

    A browser is sent on to the pages with a `sign_in_code`, good for a minute at `/api/auth/exchange`; programs get
    the tokens at once. An answer counts once, for the provider and in the browser where the sign-in was begun. If it
    was begun at `/api/auth/identities/{provider}/link`, the identity is linked instead.
    """
    return bring_back(provider, request.args) if browser.wants_page() else come_back(provider, request.args)


@blp.post("/oidc/<provider>/callback")
@blp.arguments(Return)
@blp.response(200, SignedIn)
@blp.refuses(400, 401, 403, 409, 422, 429, 502)
def callback_by_program(body: dict[str, str], provider: str) -> Response | dict[str, Any]:
    """Hand in a provider's answer that a front end received."""
    return come_back(provider, body)


@blp.post("/exchange")
@blp.arguments(OneTimeCode)
@blp.response(200, SignedIn)
@blp.refuses(400, 401, 403, 422, 429)
def exchange(body: dict[str, str]) -> dict[str, Any]:
    """Exchange a `sign_in_code` for tokens: once, within a minute, in the browser that came back with it."""
    throttle.visit()
    found = tickets.redeem(vault(), sso.CODE, body["code"])
    db.session.commit()  # spent, whatever becomes of it
    if found is None or not sso.is_bound(found["browser"], browser.cookie()):
        raise InvalidOAuthState
    return arrived(roster.get(found["user_id"]), found["method"])


@blp.get("/sso/initiate")
@blp.response(200, Departure)
@blp.refuses(400, 429)
def initiate() -> Response:
    """Begin to sign in with Linux.do."""
    return begin(LINUX_DO, "/")


@blp.get("/sso/callback")
@_takes_an_answer
@blp.response(200, SignedIn)
@blp.alt_response(302, **_TO_A_PAGE)
@blp.refuses(400, 401, 403, 409, 422, 429, 502)
def sso_callback() -> Response | dict[str, Any]:
    """Take the answer of Linux.do, as `/api/auth/oidc/linux_do/callback` does."""
    return bring_back(LINUX_DO, request.args) if browser.wants_page() else come_back(LINUX_DO, request.args)


@blp.get("/github/login")
@blp.response(200, Departure)
@blp.refuses(400, 429)
def github_login() -> Response:
    """Begin to sign in with GitHub."""
    return begin(GITHUB, "/")


@blp.post("/github/callback")
@blp.arguments(Return)
@blp.response(200, SignedIn)
@blp.refuses(400, 401, 403, 409, 422, 429, 502)
def github_callback(body: dict[str, str]) -> Response | dict[str, Any]:
    """Hand in the answer of GitHub that a front end received."""
    return come_back(GITHUB, body)
