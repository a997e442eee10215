"""The application factory: settings, extensions, doors, refusals, commands, in that order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from shared_accounts import (
    access,
    api_pages,
    cli,
    clockwork,
    console,
    cors,
    health,
    migrating,
    refusals,
    requests_in,
    tasks,
)
from shared_accounts.accounts import api as accounts_api
from shared_accounts.accounts import credential_api, import_api, life_api, oauth_api, withdrawal_api
from shared_accounts.accounts.consent import Consents
from shared_accounts.accounts.refresher import Refresher
from shared_accounts.accounts.selection import Supply
from shared_accounts.accounts.trial import Trial
from shared_accounts.admin import accounts_api as admin_accounts_api
from shared_accounts.admin import (
    alerts_api,
    audit_api,
    invitations_api,
    models_api,
    plugin_api,
    prices_api,
    recovery_api,
    settings_api,
    trust_api,
    users_api,
)
from shared_accounts.admin import quotas_api as admin_quotas_api
from shared_accounts.alerts import api as own_alerts_api
from shared_accounts.alerts import clock_api as _alert_clock  # noqa: F401 - tasks of the timetable
from shared_accounts.auth import account_api, factor_api, identities_api, providers, signup_api, sso_api
from shared_accounts.auth import api as auth_api
from shared_accounts.config import Settings, load
from shared_accounts.crypto import Vault
from shared_accounts.extensions import api, bind_limiter, celery, db, jwt, statements
from shared_accounts.gateway import generate_api, passthrough_api, status_api, v1
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.json_bodies import Refusal
from shared_accounts.keys import api as keys_api
from shared_accounts.lean import Lean
from shared_accounts.logs import configure_logging
from shared_accounts.metrics import api as metrics_api
from shared_accounts.metrics import jobs as _job_runs  # noqa: F401 - listens to Celery
from shared_accounts.outbound.addresses import Guard
from shared_accounts.outbound.wire import Wire
from shared_accounts.plugin import api as plugin_pool_api
from shared_accounts.plugin import oauth_api as plugin_oauth_api
from shared_accounts.plugin import parts as plugin_parts
from shared_accounts.plugin import pictures_api
from shared_accounts.plugin import quotas_api as plugin_quotas_api
from shared_accounts.plugin import usage_api as plugin_usage_api
from shared_accounts.plugin.local import Local
from shared_accounts.plugin.remote import Remote
from shared_accounts.quotas import api as quotas_api
from shared_accounts.quotas import clock_api as _proof_clock  # noqa: F401 - a task of the timetable
from shared_accounts.quotas import gifts_api
from shared_accounts.usage import api as usage_api
from shared_accounts.usage import clock_api as _usage_clock  # noqa: F401 - a task of the timetable
from shared_accounts.usage import export_api, statement_api


def create_app(settings: Settings | None = None) -> Flask:
    """Build the application; raises `ConfigurationError` naming everything that is missing or weak."""
    settings = settings or load()
    configure_logging(settings.log_level)
    app = Lean("shared_accounts")
    app.config.from_mapping(_flask_config(settings))
    app.session_interface = requests_in.PagesOnly()
    app.extensions["settings"] = settings
    _build_parts(app, settings)
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=settings.trusted_proxies, x_proto=settings.trusted_proxies
        )
    _bind_extensions(app, settings)
    _open_doors(app)
    refusals.register(app)
    cli.register(app)
    return app


def _build_parts(app: Flask, settings: Settings) -> None:
    vault = Vault(settings.plugin_api_encryption_key)
    guard = Guard([*settings.upstream_allowed_hosts, *plugin_parts.allowed(settings)])
    wire = Wire(guard, connect_timeout=settings.upstream_connect_timeout)
    supply = Supply(vault, guard, settings.supply_cache_seconds, settings.reference_allowance_tokens)
    app.extensions |= {"vault": vault, "guard": guard, "wire": wire}
    plugin = app.extensions["plugin"] = plugin_parts.configured(settings, vault, guard)
    app.extensions["sso_providers"] = providers.configured(settings)
    refresher = Refresher(settings.upstream_oauth_providers, vault)
    app.extensions["gateway"] = Gateway(settings, wire, supply, refresher)
    trial, consents = Trial(wire, guard, vault, refresher), Consents(wire, guard, vault)
    app.extensions["plugin_pool"] = Remote(plugin) if plugin else Local(trial, consents)


def _flask_config(settings: Settings) -> dict[str, Any]:
    return {
        "SECRET_KEY": settings.secret_key,
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": {
            "pool_size": settings.database_pool_size,
            "max_overflow": 5,
            "pool_timeout": 2,
            "pool_pre_ping": True,
            "connect_args": {
                "options": f"-c statement_timeout={settings.statement_timeout_ms} -c lock_timeout=2000"
                " -c idle_in_transaction_session_timeout=10000",
                "connect_timeout": 3,
            },
        },
        "JWT_SECRET_KEY": settings.jwt_secret_key,
        "JWT_ALGORITHM": settings.jwt_algorithm,
        "JWT_ACCESS_TOKEN_EXPIRES": timedelta(hours=settings.jwt_expire_hours),
        "JWT_ENCODE_ISSUER": "shared_accounts",
        "JWT_DECODE_ISSUER": "shared_accounts",
        "JWT_ENCODE_AUDIENCE": "shared_accounts",
        "JWT_DECODE_AUDIENCE": "shared_accounts",
        "MAX_CONTENT_LENGTH": settings.max_body_bytes,
        "RATELIMIT_STORAGE_URI": settings.redis_url,
        "RATELIMIT_STORAGE_OPTIONS": {"socket_timeout": 0.25, "socket_connect_timeout": 0.25},
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": True,
        "RATELIMIT_KEY_PREFIX": "limit",
        "API_TITLE": "shared_accounts",
        "API_VERSION": "1",
        "OPENAPI_VERSION": "3.0.3",
        **api_pages.configuration(settings),
    }


def _bind_extensions(app: Flask, settings: Settings) -> None:
    db.init_app(app)
    migrating.register(app)
    jwt.init_app(app)
    bind_limiter(app)
    api.ERROR_SCHEMA = Refusal
    api.init_app(app)
    celery.conf.update(clockwork.configuration(settings, tasks.TIMETABLE))
    clockwork.bind(app)
    app.extensions["celery"] = celery
    statements.bind(settings.database_url, size=settings.statement_pool_size, timeout_ms=settings.statement_timeout_ms)


def _open_doors(app: Flask) -> None:
    access.register(app)
    requests_in.register(app)
    cors.register(app)
    signing_in = (auth_api, sso_api, signup_api, account_api, factor_api, identities_api)
    pooling = (accounts_api, life_api, credential_api, import_api, withdrawal_api, oauth_api, quotas_api, gifts_api)
    administering = (
        users_api,
        recovery_api,
        invitations_api,
        settings_api,
        trust_api,
        audit_api,
        admin_accounts_api,
        admin_quotas_api,
        models_api,
        alerts_api,
        prices_api,
        plugin_api,
    )
    telling = (usage_api, export_api, statement_api, own_alerts_api)
    by_plugin_contract = (plugin_pool_api, plugin_oauth_api, plugin_quotas_api, plugin_usage_api, pictures_api)
    for door in (*signing_in, keys_api, *pooling, *telling, *by_plugin_contract, *administering):
        api.register_blueprint(door.blp)
    for gateway_door in (v1, status_api, passthrough_api, generate_api):
        app.register_blueprint(gateway_door.blueprint)
    api.register_blueprint(health.blueprint)
    api.register_blueprint(metrics_api.blueprint)
    api_pages.register(app)
    console.register(app)
