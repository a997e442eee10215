"""The API's own description, in development only: the document, Swagger UI and ReDoc, all served from here.

flask-smorest describes the doors it knows and renders both pages; `gateway/pages.py` describes the others. The pages'
scripts come out of packages, since a page for developers has no business telling strangers' servers who reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask, Response, send_from_directory

from shared_accounts.asked import asked
from shared_accounts.config import Settings
from shared_accounts.extensions import api
from shared_accounts.gateway import pages

# `img-src` keeps ReDoc from fetching its logo from elsewhere; `worker-src` is for the worker it searches with.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
)


def configuration(settings: Settings) -> dict[str, Any]:
    """Return flask-smorest's settings for the pages; none of them outside development."""
    if not settings.docs_enabled:
        return {}
    return {
        "OPENAPI_URL_PREFIX": "/api",
        "OPENAPI_JSON_PATH": "openapi.json",
        "OPENAPI_SWAGGER_UI_PATH": "docs",
        "OPENAPI_SWAGGER_UI_URL": "/api/docs/",
        # Without this, Swagger UI would send the document's address to a validator on the internet.
        "OPENAPI_SWAGGER_UI_CONFIG": {"validatorUrl": None, "deepLinking": True},
        "OPENAPI_REDOC_PATH": "redoc",
        "OPENAPI_REDOC_URL": "/api/redoc/redoc.standalone.js",
    }


def register(app: Flask) -> None:
    """Describe the gateway's routes and serve the pages' scripts, in development; must come after the doors."""
    settings: Settings = app.extensions["settings"]
    if not settings.docs_enabled:
        return
    api.later(lambda: pages.describe(app))
    _serve_assets(app)
    app.after_request(_keep_to_ourselves)


def _serve_assets(app: Flask) -> None:
    # Here, because production neither needs nor loads these packages.
    import flask_swagger_ui  # noqa: PLC0415
    from openapi_ui_bundles import redoc  # noqa: PLC0415

    folders = {"docs": Path(flask_swagger_ui.__file__).parent / "dist", "redoc": redoc.static_path}

    def asset(page: str, name: str) -> Response:
        return send_from_directory(folders[page], name)

    for page in folders:
        app.add_url_rule(f"/api/{page}/<path:name>", "api-docs.asset", asset, defaults={"page": page})


def _keep_to_ourselves(response: Response) -> Response:
    """Let the pages load nothing but what we serve."""
    if response.mimetype == "text/html" and (asked().endpoint or "").startswith("api-docs."):
        response.headers["Content-Security-Policy"] = _POLICY
    return response
