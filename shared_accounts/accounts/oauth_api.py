"""/api/accounts/oauth: contribute an account by consenting at its provider, or consent anew.

Invariant: an answer counts once, and for the user who asked for it; its state is spent, for good, before anything else
happens to it. Nothing of what a provider sent is shown or stored but tokens, sealed, and those only once the upstream
has accepted them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_urlsafe
from typing import Any

from flask import Response, current_app, g

from shared_accounts.accounts import api as accounts_api
from shared_accounts.accounts import consent, contribution, upstream_oauth
from shared_accounts.accounts.consent import Consents
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.oauth_schemas import OAuthDeparture, OAuthProviders, OAuthReturn, OAuthWish
from shared_accounts.accounts.probe import Proof
from shared_accounts.accounts.schemas import ContributedSchema
from shared_accounts.auth import throttle, tickets
from shared_accounts.auth.guards import refuse_silenced, signed_in
from shared_accounts.auth.refused import (
    InvalidOAuthState,
    OAuthTokenExchangeFailed,
    ProviderUnreachable,
    SingleSignOnFailed,
)
from shared_accounts.crypto import Vault
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from shared_accounts.json_bodies import Door
from shared_accounts.outbound.visits import BadAnswer, NoAnswer
from shared_accounts.requests_in import settings
from shared_accounts.setting_values import UpstreamOAuth
from shared_accounts.users import standing

blp = Door("account-oauth", __name__, url_prefix="/api/accounts/oauth", description="Accounts by their owner's consent")

CALLBACK = "/api/accounts/oauth/callback"
_KIND = "account-oauth"
_SECONDS = 600
_WAY_BACK = "Nearly done: copy the address of this page and paste it where you began.\n"


@blp.get("/providers")
@signed_in
@blp.response(200, OAuthProviders)
@blp.refuses(401, 403)
def list_providers() -> dict[str, Any]:
    """List the providers whose accounts can be contributed without a key."""
    return {"providers": settings().upstream_oauth_providers}


@blp.post("/authorize")
@signed_in
@blp.arguments(OAuthWish)
@blp.response(200, OAuthDeparture)
@blp.refuses(400, 401, 403, 404, 422, 429)
def authorize(body: dict[str, Any]) -> dict[str, Any]:
    """Begin to contribute an account: open the address, consent, and bring back where the browser lands.

    With `account_id`, consent anew to an account of yours whose provider asks for it. Share only what your provider's
    terms allow you to share.
    """
    refuse_silenced()
    url, state = depart(body)
    return {"authorization_url": url, "state": state, "expires_in": _SECONDS}


def depart(body: dict[str, Any]) -> tuple[str, str]:
    """Note what is wished for, commit it, and return where to consent and the `state` that finds it again."""
    throttle.visit()
    provider = consent.provider(body["provider"])
    if body.get("sharing") == "shared":
        standing.refuse_sharing(g.person.id)
    if "account_id" in body and contribution.mine(g.person.id, body["account_id"]).oauth_provider != provider.id:
        raise Unprocessable("This account is not one of this provider's.", field="provider")
    verifier = token_urlsafe(48)
    kept = {"user_id": g.person.id, "verifier": verifier, "wish": body}
    state = tickets.issue(_vault(), _KIND, kept, seconds=_SECONDS)
    db.session.commit()
    return consent.address(provider, state=state, verifier=verifier), state


@blp.get("/callback")
@blp.response(200, {"type": "string"}, description="A sentence for whoever reads it.", content_type="text/plain")
def landing() -> Response:
    """Tell somebody who came back from a provider how to go on; nothing her browser brought is read."""
    response = Response(_WAY_BACK, mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blp.post("/callback")
@signed_in
@blp.arguments(OAuthReturn)
@blp.response(201, ContributedSchema)
@blp.alt_response(200, schema=ContributedSchema, description="Consented to anew.")
@blp.refuses(400, 401, 403, 404, 409, 422, 502)
def callback(body: dict[str, str]) -> Any:
    """Finish: the account enters the pool, or comes back into it, once its upstream has accepted the new token.

    An answer counts once, within ten minutes, and for the user who asked for it.
    """
    refuse_silenced()
    answer = upstream_oauth.read_answer(body["callback_url"]) if "callback_url" in body else body
    account, proof, is_new = finish(answer, field=next(iter(body)))
    db.session.commit()
    return {**accounts_api.shown([account])[0], "discovered_models": proof.models}, 201 if is_new else 200


def finish(answer: dict[str, str], *, field: str) -> tuple[Account, Proof, bool]:
    """Spend an answer and contribute, or renew, what was wished for; tells whether it is new. The caller commits."""
    begun = taken(_KIND, answer, field=field)
    wish = begun["wish"]
    with explained():
        tokens = consent.exchange(begun, answer["code"])
    account, proof = _consents().accept(g.person.id, wish, tokens)
    return account, proof, "account_id" not in wish


def comes_back(provider: UpstreamOAuth) -> bool:
    """Tell whether this provider sends a browser that has consented to us, and not somewhere it cannot load."""
    return provider.redirect_uri in {"", f"{settings().public_url}{CALLBACK}"}


def taken(kind: str, answer: dict[str, str], *, field: str) -> dict[str, Any]:
    """Spend what was begun, whatever becomes of it, and return it to whoever began it; `field` held the answer."""
    begun = tickets.redeem(_vault(), kind, answer.get("state", ""))
    db.session.commit()
    if "error" in answer:
        raise SingleSignOnFailed("The provider did not give its consent, or you did not give yours.")
    for name in ("code", "state"):
        if name not in answer:
            raise Unprocessable(f"The address must hold one {name}.", field=field)
    if begun is None or begun["user_id"] != g.person.id:
        raise InvalidOAuthState("You did not begin this, or too long ago, or it is finished; begin again.")
    return begun


@contextmanager
def explained() -> Iterator[None]:
    """Tell what went wrong at a provider in our own words."""
    try:
        yield
    except BadAnswer:
        raise OAuthTokenExchangeFailed("The provider gave no token for this; begin again.") from None
    except NoAnswer:
        raise ProviderUnreachable("The provider does not answer; begin again later.") from None


def _consents() -> Consents:
    parts = current_app.extensions
    return Consents(parts["wire"], parts["guard"], parts["vault"])


def _vault() -> Vault:
    found: Vault = current_app.extensions["vault"]
    return found
