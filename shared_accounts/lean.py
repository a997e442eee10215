"""Flask, less what it does for each request and nobody here needs.

A chat passes nine hooks. Of each Flask asks for which blueprints it is and whether it is a coroutine: 3 % of a chat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from shared_accounts.asked import Asked, asked

CALLS = ("/v1/", "/v1beta/")


class Lean(Flask):
    """An application whose calls, unlike its pages, have neither hooks of a blueprint's own nor a session to save."""

    request_class = Asked

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the view or hook as it is: none of ours is a coroutine."""
        return func

    def preprocess_request(self) -> Any:
        """Run the hooks before the view; the first one that answers is the last."""
        if not asked().path.startswith(CALLS):
            return super().preprocess_request()
        return next((answer for hook in self.before_request_funcs[None] if (answer := hook()) is not None), None)

    def process_response(self, response: Response) -> Response:
        """Run the hooks after the view, the last one first."""
        if not asked().path.startswith(CALLS):
            return super().process_response(response)
        for hook in reversed(self.after_request_funcs[None]):
            response = hook(response)
        return response
