"""Who may do more than read at the doors of `/api/admin`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from shared_accounts.auth.guards import admin_only, refuse_silenced

P = ParamSpec("P")
R = TypeVar("R")


def admin_acts(view: Callable[P, R]) -> Callable[P, R]:
    """Let only admins in who may act: a silenced admin reads, no more. It stands where `@admin_only` would."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_silenced()
        return view(*args, **kwargs)

    return admin_only(guarded)
