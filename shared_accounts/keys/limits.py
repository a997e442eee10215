"""What a key may do: for which models, from where, how often and how much.

Invariant: what limits a key and what somebody remembers of it differ in `revision`, and the statement that opens an
exchange compares: so a limit bites on the very next request, although workers remember callers for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from shared_accounts.extensions import db
from shared_accounts.keys import budgets
from shared_accounts.keys.models import ApiKey
from shared_accounts.users.roster import Caller

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED_BITS = 96  # RFC 4291 section 2.5.5.2: so many stand before the IPv4 address in ::ffff:a.b.c.d


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may do, as far as it can be told without the database; empty means everything, None no limit."""

    revision: int
    models: frozenset[str]
    networks: tuple[Network, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None

    def allow_model(self, name: str) -> bool:
        """Tell whether the key may ask for a model by this name; an alias is a name of its own."""
        return not self.models or name in self.models

    def allow_address(self, text: str | None) -> bool:
        """Tell whether the key may be used from this address; what is none is nowhere."""
        if not self.networks:
            return True
        try:
            address = _plain(ip_address(text or ""))
        except ValueError:
            return False
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class KeyHolder(Caller):
    """A caller who came with a key."""

    limits: Limits = Limits(0, frozenset(), (), None, None)
    settle_tokens: Callable[[int], None] | None = None
    """Replaces what was counted for the request under way by the tokens it took."""


def read(
    revision: int, models: Iterable[str], addresses: Iterable[str], per_minute: int | None, tokens: int | None
) -> Limits:
    """Read a key's limits from its columns."""
    return Limits(revision, frozenset(models), tuple(map(ip_network, addresses)), per_minute, tokens)


def network(text: str) -> Network:
    """Read an address or a network; raises `ValueError` for anything else, and for a network with host bits set."""
    if "%" in text:  # a zone is somewhere else on every machine (RFC 4007 section 11)
        raise ValueError(text)
    found = ip_network(text)
    if isinstance(found, IPv6Network) and found.prefixlen >= _MAPPED_BITS:
        within = found.network_address.ipv4_mapped
        return ip_network((int(within), found.prefixlen - _MAPPED_BITS)) if within else found
    return found


def shown(found: Network) -> str:
    """Write a network, or the one address it consists of."""
    return str(found.network_address if found.num_addresses == 1 else found)


def change(key: ApiKey, changes: dict[str, Any]) -> None:
    """Change columns of a key that is locked; it bites on the very next request.

    A key that gets its first budget is charged with what it has cost before.
    """
    had_budget = any(key.budgets.values())
    for name, value in changes.items():
        setattr(key, name, value)
    key.revision += 1
    db.session.flush()
    if not had_budget and any(key.budgets.values()):
        budgets.recount(key)


def _plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 socket wraps."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
