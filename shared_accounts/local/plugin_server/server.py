"""The server put together, and what its framework answers by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request
from gevent.pywsgi import WSGIServer
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from shared_accounts.local.plugin_server import accounts, chat, control_api, gate, images, oauth, quotas, users
from shared_accounts.local.plugin_server.answers import Crashed, Refused, as_json, as_page
from shared_accounts.local.plugin_server.state import State

_BODY_LIMIT = 50 * 1024 * 1024


def make_app(admin_key: str, control_token: str | None = None, kept_in: Path | None = None) -> Flask:
    """Build the application over what a file keeps, if there is one; without a token nobody controls it."""
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=_BODY_LIMIT, CONTROL_TOKEN=control_token)
    app.url_map.strict_slashes = False
    app.extensions["plugin_server"] = State(admin_key, kept_in)
    app.before_request(gate.enter)
    app.before_request(_parse)
    app.after_request(gate.leave)
    for subject in (users, oauth, accounts, quotas, chat, images, control_api):
        app.register_blueprint(subject.routes)
    app.register_error_handler(Refused, lambda refused: as_json(refused.body, refused.status))
    app.register_error_handler(Crashed, lambda crashed: as_page(f"TypeError: {crashed}", 500))
    app.register_error_handler(HTTPException, _answer_as_the_framework)
    return app


def listen(app: Flask, host: str, port: int) -> WSGIServer:
    """Return a server that accepts connections already; port 0 takes any that is free."""
    server = WSGIServer((host, port), app, log=None, handler_class=gate.Handler)
    server.init_socket()
    return server


def _parse() -> None:
    """Read the body before any route is looked for: undefined unless it says it is JSON, an object or a list."""
    g.body = None
    if not request.is_json or not ("Content-Length" in request.headers or "Transfer-Encoding" in request.headers):
        return
    data = request.get_data()
    try:
        body: Any = json.loads(data) if data else {}
    except ValueError:
        raise BadRequest("SyntaxError: Unexpected token in JSON") from None
    if not isinstance(body, dict | list):
        raise BadRequest("SyntaxError: Unexpected token in JSON")
    g.body = body if isinstance(body, dict) else {}


def _answer_as_the_framework(error: HTTPException) -> Response:
    if isinstance(error, RequestEntityTooLarge):
        return as_json({"error": "请求体过大，最大支持 50mb"}, 413)  # noqa: RUF001 - its own comma
    if error.code in {404, 405}:
        return as_page(f"Cannot {request.method} {request.path}", 404)
    return as_page(error.description or "Internal Server Error", error.code or 500)
