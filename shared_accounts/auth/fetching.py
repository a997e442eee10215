"""How we ask a sign-in provider: by `outbound.visits`, with the refusal that signing in has for one that is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared_accounts.auth.refused import ProviderUnreachable
from shared_accounts.outbound import visits
from shared_accounts.outbound.visits import BadAnswer, visit

__all__ = ["BadAnswer", "ask", "exchange", "visit"]


def ask(visit: visits.OAuth2Session, url: str, *, bearer: str = "") -> dict[str, Any]:
    """GET a JSON object; raises `BadAnswer` or `ProviderUnreachable`."""
    with _unreachable():
        return visits.ask(visit, url, bearer=bearer)


def exchange(visit: visits.OAuth2Session, endpoint: str, *, code: str, verifier: str) -> dict[str, Any]:
    """Exchange a code for tokens; raises `BadAnswer` or `ProviderUnreachable`."""
    with _unreachable():
        return visits.exchange(visit, endpoint, code=code, verifier=verifier)


@contextmanager
def _unreachable() -> Iterator[None]:
    try:
        yield
    except visits.NoAnswer:
        raise ProviderUnreachable from None
