"""What a provider says of somebody, as far as it can be used and stored here.

Invariant: whoever nothing identifies is refused; a made-up subject would be shared by everybody without one. All else
a provider may leave out or get wrong: what makes no sense is taken for not said.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from shared_accounts.auth.providers import Provider
from shared_accounts.auth.refused import OAuthUserInfoFailed
from shared_accounts.auth.signin import SsoIdentity

_MOST_TRUST = 4
_LONGEST_NAME = 100
_LONGEST_SUBJECT = 255
_LONGEST_URL = 512


def read(provider: Provider, subject: object, about: dict[str, Any]) -> SsoIdentity:
    """Return who this is; raises `OAuthUserInfoFailed` when nothing identifies her."""
    known_as = _subject(subject)
    names = (_line(about.get(claim)) for claim in provider.names)
    silenced = about.get("silenced")
    return SsoIdentity(
        provider=provider.id,
        subject=known_as,
        username=next(filter(None, names), "") or f"{provider.id}_{known_as}"[:_LONGEST_NAME],
        avatar_url=next(filter(None, map(_picture, map(about.get, provider.avatars))), None),
        trust_level=_trust(about.get("trust_level")),
        silenced=silenced if isinstance(silenced, bool) else None,
        active=about.get("active") is not False,
        trusted=provider.trusted,
    )


def _subject(given: object) -> str:
    """Return what identifies somebody at her provider; raises `OAuthUserInfoFailed` rather than invent something."""
    text = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST_SUBJECT or not text.isprintable():
        raise OAuthUserInfoFailed
    return text


def _line(given: object) -> str:
    text = given if isinstance(given, str) else ""
    return "".join(character for character in text if character.isprintable()).strip()[:_LONGEST_NAME]


def _trust(given: object) -> int | None:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        return None
    return min(given, _MOST_TRUST)


def _picture(given: object) -> str | None:
    if not isinstance(given, str) or len(given) > _LONGEST_URL or not given.isprintable() or " " in given:
        return None
    try:
        parts = urlsplit(given)
    except ValueError:
        return None
    return given if parts.scheme == "https" and parts.hostname else None
