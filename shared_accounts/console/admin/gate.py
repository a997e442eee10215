"""Who may open the group's pages, and do what stands in them.

Invariant: to whoever is no admin there is nothing here, whatever she asks for; and a silenced admin reads, no more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from flask import g

from shared_accounts import live_settings
from shared_accounts.auth.guards import refuse_silenced
from shared_accounts.auth.refused import SecondFactorMissing
from shared_accounts.console.door import act, page
from shared_accounts.errors import NotFound
from shared_accounts.requests_in import settings

P = ParamSpec("P")
View = Callable[P, Any]


def admin_page(rule: str) -> Callable[[View[P]], View[P]]:
    """Show something to admins."""
    return lambda view: page(f"/admin{rule}")(_for_admins(view))


def admin_act(rule: str) -> Callable[[View[P]], View[P]]:
    """Do what an admin's form asks for."""
    return lambda view: act(f"/admin{rule}")(_for_admins(_unless_silenced(view)))


def _for_admins(view: View[P]) -> View[P]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        if g.person.role != "admin":
            raise NotFound
        if not g.person.second_factor and live_settings.current(settings()).require_admin_2fa:
            raise SecondFactorMissing
        return view(*args, **kwargs)

    return guarded


def _unless_silenced(view: View[P]) -> View[P]:
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        refuse_silenced()
        return view(*args, **kwargs)

    return guarded
