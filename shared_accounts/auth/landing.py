"""Where a browser lands after its visit to a provider: always with us.

Invariant: what a stranger wrote into a link decides the path at most, never the host (RFC 9700 section 4.11).
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlencode, urljoin, urlsplit, urlunsplit

_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x1f\x7f]*")
_NOWHERE = "https://nowhere.invalid"
_LONGEST = 512
_OURS = ("sign_in_code=", "sign_in_error=", "identity_linked=")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def local_path(wanted: str) -> str:
    """Return the path if it cannot lead away from here, else `/`."""
    if len(wanted) > _LONGEST or not all(_LOCAL.fullmatch(text) for text in (wanted, unquote(wanted))):
        return "/"
    try:
        return wanted if urlsplit(urljoin(_NOWHERE, wanted))[:2] == urlsplit(_NOWHERE)[:2] else "/"
    except ValueError:
        return "/"


def address(base: str, path: str, **news: str) -> str:
    """Return the absolute address of a local path, with our news in its query and nobody else's."""
    parts = urlsplit(path)
    kept = [pair for pair in parts.query.split("&") if pair and not pair.startswith(_OURS)]
    query = "&".join([urlencode(news), *kept])
    return base + urlunsplit(("", "", parts.path, query, parts.fragment))


def same_origin(one: str, other: str) -> bool:
    """Tell whether two addresses have the same scheme, host and port."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)
