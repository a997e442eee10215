"""Where we may connect to: the guard against requests forged to reach our own network (SSRF).

Invariant: a connection goes to an address that was checked, not to a name that was. The name is resolved
once, every address it has must be public (or allowed by the operator), and the socket is opened to those very
addresses, so a name that answers differently a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared_accounts.errors import Unprocessable

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 500
_CALLED = {"base_url": "base URL"}

# Ranges that `ipaddress.is_global` of some Python versions calls public, though they lead inside.
_INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "3fff::/20", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip


class AddressRefused(Exception):
    """The host has no address that we may connect to."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom to connect to: the key of the connection pool."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The Host header's value."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream's base URL, taken apart once."""

    origin: Origin
    path: str


class Guard:
    """Decides by the operator's list, of hosts, networks and `host:port`, and by the address itself."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._names = {entry.lower() for entry in allowed if not _is_network(entry)}
        self._networks = [ipaddress.ip_network(entry, strict=False) for entry in allowed if _is_network(entry)]

    def parse(self, url: str, *, field: str = "base_url") -> Target:
        """Take a URL without a query apart; raises `Unprocessable` naming `field` when it cannot be used."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise _unusable("is not a URL", field) from error
        if parts.scheme not in _DEFAULT_PORTS or not host or len(url) > _LONGEST_URL:
            raise _unusable("must start with https:// and name a host", field)
        if "@" in parts.netloc or "?" in url or "#" in url or not url.isascii():
            raise _unusable("must not hold credentials, a query, a fragment or special characters", field)
        if any(char <= " " or char in '\\"<>^`{|}' for char in url):
            raise _unusable("holds characters that a URL cannot hold", field)
        if parts.scheme == "http" and not self._is_listed(host, port or _DEFAULT_PORTS[parts.scheme]):
            raise _unusable("must be https: a credential would travel in the clear", field)
        return Target(Origin(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme]), parts.path.rstrip("/"))

    def addresses(self, origin: Origin) -> list[tuple[str, int]]:
        """Resolve once; raises `AddressRefused` unless every address may be reached, `OSError` when there is none."""
        try:
            found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # an empty label, or one of more than 63 characters
            raise OSError("not a host name") from error
        if not all(self._may_reach(origin, str(entry[4][0])) for entry in found):
            raise AddressRefused(origin.host)
        return [(str(entry[4][0]), origin.port) for entry in found]

    def _is_listed(self, host: str, port: int) -> bool:
        if self._is_named(host, port):
            return True
        return _is_network(host) and self._in_networks(ipaddress.ip_address(host))

    def _is_named(self, host: str, port: int) -> bool:
        return not self._names.isdisjoint((host.lower(), f"{host.lower()}:{port}"))

    def _may_reach(self, origin: Origin, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(found, "ipv4_mapped", None) or found
        return self._is_named(origin.host, origin.port) or self._in_networks(mapped) or is_public(mapped)

    def _in_networks(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address lies outside every private, local, reserved or translated range."""
    return address.is_global and not any(address in network for network in _INSIDE)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _unusable(reason: str, field: str) -> Unprocessable:
    return Unprocessable(f"The {_CALLED.get(field, 'address')} {reason}.", field=field)
