"""What makes settings unfit to start with; each check yields its reasons, naming variables and never a value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet

from shared_accounts.setting_values import is_weak

if TYPE_CHECKING:
    from shared_accounts.config import Settings

_UNITS = {"quota_capacity_per_account", "quota_refill_per_account", "gift_daily_limit"}
_MAY_BE_ZERO = {
    "alert_quota_low_share",
    "trusted_proxies",
    "supply_cache_seconds",
    "disconnect_drain_seconds",
    "usage_log_months",
    *_UNITS,
}


def inconsistent(settings: Settings) -> Iterable[str]:
    """Yield what does not fit together."""
    if settings.lease_seconds < 2 * settings.heartbeat_seconds:
        yield "LEASE_SECONDS must be at least twice HEARTBEAT_SECONDS, or live streams would be reaped."
    if settings.upstream_total_timeout < settings.upstream_first_byte_timeout:
        yield "UPSTREAM_TOTAL_TIMEOUT must not be shorter than UPSTREAM_FIRST_BYTE_TIMEOUT."
    if settings.smtp_host and not settings.mail_from:
        yield "MAIL_FROM is missing: with SMTP_HOST, mails need a sender."
    if settings.alert_email and not settings.smtp_host:
        yield "SMTP_HOST is missing: with ALERT_EMAIL, mails need a server."
    if settings.alert_webhook_url and not settings.alert_webhook_secret:
        yield "ALERT_WEBHOOK_SECRET is missing: with ALERT_WEBHOOK_URL, webhooks are signed."
    if settings.alert_quota_low_share > 1:
        yield "ALERT_QUOTA_LOW_SHARE must be a share of a pool's capacity, from 0 to 1."
    if settings.plugin_api_base_url and not settings.plugin_api_admin_key:
        yield "PLUGIN_API_ADMIN_KEY is missing: with PLUGIN_API_BASE_URL, users are made there."


def out_of_range(values: Mapping[str, Any]) -> Iterable[str]:
    """Yield which numbers no setting of theirs may have."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not (0 < value < math.inf or (value == 0 and name in _MAY_BE_ZERO)):
            yield f"{name.upper()} is out of range."


def weak(values: Mapping[str, Any], secrets: Iterable[str]) -> Iterable[str]:
    """Yield which of the settings named `secrets` are none: malformed anywhere, guessable outside development."""
    for key in values.get("plugin_api_encryption_key", ()):
        try:
            Fernet(key)
        except ValueError:
            yield "PLUGIN_API_ENCRYPTION_KEY is not a list of Fernet keys."
    if values.get("app_env") == "development":
        return
    seen: set[str] = set()
    for name in secrets:
        value = values.get(name, ())
        for text in (value,) if isinstance(value, str) else value:
            if is_weak(text) or text in seen:
                yield f"{name.upper()} is a weak, sample or reused secret."
            seen.add(text)
