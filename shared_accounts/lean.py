"""Flask, less what it does for each request and a call to the gateway has no need of.

A chat passes nine hooks. Of each Flask asks for which blueprints it is and whether it is a coroutine, and Werkzeug
looks for the route by host, scheme and path, part by part: together 10 % of a chat. Pages go Flask's own way, and so do
calls whose route has something variable.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from flask import Flask, Request, Response
from werkzeug.routing import MapAdapter, Rule

from shared_accounts.asked import Asked, asked

CALLS = ("/v1/", "/v1beta/")
"""Where the paths of calls to the gateway begin."""


class Found(MapAdapter):
    """The place of a call that is always the same one: its path alone says so."""

    def __init__(self, app: Flask, rule: Rule) -> None:
        super().__init__(app.url_map, "", "/", "", "http", rule.rule, "POST")
        self._rule = rule

    def match(self, *_: object, **__: object) -> Any:
        """Return the rule, and no arguments."""
        return self._rule, {}


class Lean(Flask):
    """An application whose calls, unlike its pages, have neither hooks of a blueprint's own nor a session to save."""

    request_class = Asked

    @cached_property
    def found(self) -> dict[str, Found]:
        """The places of calls whose route is all fixed, by path."""
        rules = [rule for rule in self.url_map.iter_rules() if rule.rule.startswith(CALLS) and not rule.arguments]
        return {rule.rule: Found(self, rule) for rule in rules if "POST" in (rule.methods or ())}

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the request's place among the routes."""
        found = self.found.get(request.path) if request is not None and request.method == "POST" else None
        return found or super().create_url_adapter(request)

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
