"""The request that is being served, as an object of its own.

Flask's `request` and `g` look for theirs anew at each use, which takes 0.6 µs; an attribute of the object itself takes
0.03. A chat would pay thirty times: what every request needs, hooks above all, asks `asked()` once and keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Request, has_request_context, request


class Asked(Request):
    """A request, and what the hooks note on it."""

    arrived = 0.0
    """When it came, by the monotonic clock."""
    id = ""
    """By which its lines in the log are found."""
    limits: dict[str, dict[str, Any]] | None = None
    """How the caller's limits stand, for the answer's headers."""


asked: Callable[[], Asked] = request._get_current_object  # type: ignore[attr-defined] # noqa: SLF001 - it is documented
"""Return the request that is being served; raises `RuntimeError` outside of one."""


def id_now() -> str | None:
    """Return the id of the request that is being served, if one is."""
    return asked().id if has_request_context() else None
