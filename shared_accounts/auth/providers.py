"""Who may vouch for people here: Linux.do, GitHub and any OpenID Connect issuers an operator names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared_accounts.auth.issuers import Issuer
from shared_accounts.config import Settings
from shared_accounts.setting_values import OidcSettings

LINUX_DO = "linux_do"
GITHUB = "github"


@dataclass(frozen=True, kw_only=True, repr=False)
class Provider:
    """One provider, and us as its client. Its secret is in here, so it has no `repr`.

    An `oidc` provider has an `issuer` that publishes its endpoints; an `oauth2` one has them here, and says in a JSON
    document of its own who somebody is.
    """

    id: str
    name: str
    kind: Literal["oauth2", "oidc"]
    client_id: str
    client_secret: str
    redirect_uri: str
    scope: str
    trusted: bool
    issuer: Issuer | None = None
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    user_info_endpoint: str = ""
    token_auth: str = "client_secret_basic"  # noqa: S105 - the name of a method
    names: tuple[str, ...] = ("preferred_username", "name")
    avatars: tuple[str, ...] = ("picture",)
    seconds: float = 8.0
    """How long a person waits for all we ask this provider for her."""


def configured(settings: Settings) -> dict[str, Provider]:
    """Return the providers that are set up completely, by id, in the order they are offered."""
    found = [*_linux_do(settings), *_github(settings), *(_oidc(settings, one) for one in settings.oidc_providers)]
    return {one.id: one for one in found}


def _linux_do(settings: Settings) -> list[Provider]:
    if not settings.oauth_client_id or not settings.oauth_client_secret:
        return []
    linux_do = Provider(
        id=LINUX_DO,
        name="Linux.do",
        kind="oauth2",
        client_id=settings.oauth_client_id,
        client_secret=settings.oauth_client_secret,
        redirect_uri=settings.oauth_redirect_uri or _redirect_uri(settings, LINUX_DO),
        scope=settings.oauth_scope,
        trusted=LINUX_DO in settings.trusted_sso_providers,
        authorization_endpoint=settings.oauth_authorization_endpoint,
        token_endpoint=settings.oauth_token_endpoint,
        user_info_endpoint=settings.oauth_user_info_endpoint,
        names=("username", "name"),
        avatars=("avatar_url", "avatar"),
    )
    return [linux_do]


def _github(settings: Settings) -> list[Provider]:
    if not settings.github_client_id or not settings.github_client_secret:
        return []
    github = Provider(
        id=GITHUB,
        name="GitHub",
        kind="oauth2",
        client_id=settings.github_client_id,
        client_secret=settings.github_client_secret,
        redirect_uri=settings.github_redirect_uri or _redirect_uri(settings, GITHUB),
        scope="read:user user:email",
        trusted=GITHUB in settings.trusted_sso_providers,
        authorization_endpoint="https://github.com/login/oauth/authorize",
        token_endpoint="https://github.com/login/oauth/access_token",  # noqa: S106 - an address
        user_info_endpoint="https://api.github.com/user",
        token_auth="client_secret_post",  # noqa: S106 - the name of a method
        names=("login",),
        avatars=("avatar_url",),
    )
    return [github]


def _oidc(settings: Settings, one: OidcSettings) -> Provider:
    return Provider(
        id=one.id,
        name=one.name or one.id,
        kind="oidc",
        client_id=one.client_id,
        client_secret=one.client_secret,
        redirect_uri=one.redirect_uri or _redirect_uri(settings, one.id),
        scope=one.scope,
        trusted=one.id in settings.trusted_sso_providers,
        issuer=Issuer(one.issuer),
    )


def _redirect_uri(settings: Settings, provider_id: str) -> str:
    """Return an address of the provider's own: an answer of one is never taken for another's (RFC 9700 section 4.4)."""
    return f"{settings.public_url}/api/auth/oidc/{provider_id}/callback"
