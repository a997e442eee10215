"""Every setting, read once from the environment into one frozen value.

Invariant: a process that starts holds a complete and consistent configuration. Whatever is missing,
malformed or (outside development) weak is refused at once, all of it in a single message that names
the variables and never a value.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dotenv import dotenv_values

from shared_accounts import setting_checks
from shared_accounts.setting_letters import email, webhook_secret
from shared_accounts.setting_values import (
    MICRO,
    OidcSettings,
    UpstreamOAuth,
    limits,
    names,
    oidc_providers,
    one_of,
    origins,
    postgres,
    switch,
    units,
    upstream_oauth_providers,
    url,
)

__all__ = ["MICRO", "ConfigurationError", "Settings", "load", "parse_value"]


class ConfigurationError(Exception):
    """The environment cannot be used as it stands; the message lists every reason."""


def _setting(parse: Callable[[str], Any], default: Any = dataclasses.MISSING, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"parse": parse, "secret": secret})


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """The whole configuration; `.env.example` explains each setting. Half of it is secret, so it has no `repr`."""

    database_url: str = _setting(postgres)
    redis_url: str = _setting(str)
    secret_key: str = _setting(str, secret=True)
    jwt_secret_key: str = _setting(str, secret=True)
    plugin_api_encryption_key: tuple[str, ...] = _setting(names, secret=True)

    app_env: str = _setting(one_of("development", "staging", "production"), "production")
    log_level: str = _setting(one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), "INFO")
    host: str = _setting(str, "127.0.0.1")
    port: int = _setting(int, 8008)
    web_concurrency: int = _setting(int, 2)
    graceful_timeout: int = _setting(int, 30)
    trusted_proxies: int = _setting(int, 0)
    max_body_bytes: int = _setting(int, 32 * 1024 * 1024)
    max_management_body_bytes: int = _setting(int, 1024 * 1024)
    metrics_token: tuple[str, ...] = _setting(names, (), secret=True)

    admin_username: str = _setting(str, "")
    admin_password: str = _setting(str, "")
    jwt_algorithm: str = _setting(one_of("HS256"), "HS256")
    jwt_expire_hours: int = _setting(int, 24)
    login_limit: str = _setting(limits, "5 per minute; 50 per hour")
    login_limit_per_account: str = _setting(limits, "100 per hour")
    login_limit_per_address: str = _setting(limits, "30 per minute; 300 per hour")
    visit_limit: str = _setting(limits, "30 per minute; 300 per hour")
    jwt_secret_key_fallbacks: tuple[str, ...] = _setting(names, (), secret=True)
    refresh_token_expire_days: int = _setting(int, 7)
    session_max_days: int = _setting(int, 30)
    fresh_sign_in_minutes: int = _setting(int, 15)
    keys_need_fresh_sign_in: bool = _setting(switch, False)  # noqa: FBT003
    registration: str = _setting(one_of("closed", "invite", "open"), "closed")
    require_admin_2fa: bool = _setting(switch, False)  # noqa: FBT003

    public_url: str = _setting(url, "http://localhost:8008")
    front_end_url: str = _setting(url, "")
    cors_origins: tuple[str, ...] = _setting(origins, ())
    sso_registration: bool = _setting(switch, True)  # noqa: FBT003
    trusted_sso_providers: tuple[str, ...] = _setting(names, ("linux_do",))
    oauth_client_id: str = _setting(str, "")
    oauth_client_secret: str = _setting(str, "")
    oauth_redirect_uri: str = _setting(url, "")
    oauth_authorization_endpoint: str = _setting(url, "https://connect.linux.do/oauth2/authorize")
    oauth_token_endpoint: str = _setting(url, "https://connect.linux.do/oauth2/token")
    oauth_user_info_endpoint: str = _setting(url, "https://connect.linux.do/api/user")
    oauth_scope: str = _setting(str, "")
    github_client_id: str = _setting(str, "")
    github_client_secret: str = _setting(str, "")
    github_redirect_uri: str = _setting(url, "")
    oidc_providers: tuple[OidcSettings, ...] = _setting(oidc_providers, ())

    quota_capacity_per_account: int = _setting(units, 2 * MICRO)
    quota_refill_per_account: int = _setting(units, 400_000)
    reference_allowance_tokens: int = _setting(int, 1_000_000)
    max_account_worth: int = _setting(units, MICRO)
    gift_daily_limit: int = _setting(units, MICRO)
    default_completion_tokens: int = _setting(int, 1024)

    usage_log_months: int = _setting(int, 13)

    smtp_host: str = _setting(str, "")
    smtp_port: int = _setting(int, 587)
    smtp_security: str = _setting(one_of("starttls", "tls", "none"), "starttls")
    smtp_username: str = _setting(str, "")
    smtp_password: str = _setting(str, "")
    mail_from: str = _setting(email, "")
    alert_email: str = _setting(email, "")
    alert_webhook_url: str = _setting(str, "")
    alert_webhook_secret: str = _setting(webhook_secret, "", secret=True)
    alert_quota_low_share: float = _setting(float, 0.2)
    alert_expiry_days: int = _setting(int, 3)
    webhook_allowed_hosts: tuple[str, ...] = _setting(names, ())

    plugin_api_base_url: str = _setting(url, "")
    plugin_api_admin_key: str = _setting(str, "")
    plugin_api_runs_in_utc: bool = _setting(switch, True)  # noqa: FBT003

    upstream_oauth_providers: tuple[UpstreamOAuth, ...] = _setting(upstream_oauth_providers, ())
    upstream_allowed_hosts: tuple[str, ...] = _setting(names, ())
    upstream_connect_timeout: float = _setting(float, 5.0)
    upstream_first_byte_timeout: float = _setting(float, 120.0)
    upstream_gap_timeout: float = _setting(float, 120.0)
    upstream_total_timeout: float = _setting(float, 1800.0)
    keep_alive_seconds: float = _setting(float, 15.0)
    disconnect_drain_seconds: float = _setting(float, 0.0)
    max_attempts: int = _setting(int, 5)
    cooldown_seconds: int = _setting(int, 30)
    lease_seconds: int = _setting(int, 90)
    heartbeat_seconds: int = _setting(int, 30)
    supply_cache_seconds: float = _setting(float, 2.0)

    database_pool_size: int = _setting(int, 8)
    statement_pool_size: int = _setting(int, 8)
    statement_timeout_ms: int = _setting(int, 5000)

    @property
    def docs_enabled(self) -> bool:
        """API pages exist in development only (specification section 4)."""
        return self.app_env == "development"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ`, or from `.env` overlaid by the process environment."""
    if environ is None:
        environ = {**{k: v for k, v in dotenv_values(".env").items() if v is not None}, **os.environ}
    values, problems = _parse(environ)
    secrets = [spec.name for spec in dataclasses.fields(Settings) if spec.metadata["secret"]]
    problems += [*setting_checks.out_of_range(values), *setting_checks.weak(values, secrets)]
    if not problems:
        settings = Settings(**values)
        problems += setting_checks.inconsistent(settings)
    if problems:
        raise ConfigurationError("Cannot start. " + " ".join(problems))
    return settings


def parse_value(name: str, text: str) -> Any:
    """Read one setting as `load` would; raises `ValueError`, `KeyError` or `ArithmeticError`."""
    spec = Settings.__dataclass_fields__[name]
    value = spec.metadata["parse"](text)
    if any(setting_checks.out_of_range({name: value})):
        raise ValueError(name)
    return value


def _parse(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for spec in dataclasses.fields(Settings):
        name = spec.name.upper()
        text = environ.get(name, "").strip()
        if not text:
            if spec.default is dataclasses.MISSING:
                problems.append(f"{name} is missing.")
            continue
        try:
            values[spec.name] = spec.metadata["parse"](text)
        except (ValueError, KeyError, ArithmeticError):
            problems.append(f"{name} is not a valid value.")
    return values, problems
