"""Every setting, read once from the environment into one frozen value.

Invariant: a process that starts holds a complete and consistent configuration. Whatever is missing,
malformed or (outside development) weak is refused at once, all of it in a single message that names
the variables and never a value.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cryptography.fernet import Fernet
from dotenv import dotenv_values
from limits import parse_many

MICRO = 1_000_000
"""Micro-units in one unit of quota (specification section 1)."""

_SAMPLES = ("change-this", "your-secret", "your-encryption", "changeme", "example", "password")
_MAY_BE_ZERO = {"trusted_proxies", "quota_capacity_per_account", "quota_refill_per_account", "supply_cache_seconds"}
_MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2 asks this of an HS256 key
_MIN_SECRET_BITS = 128


class ConfigurationError(Exception):
    """The environment cannot be used as it stands; the message lists every reason."""


def _units(text: str) -> int:
    return int((Decimal(text) * MICRO).to_integral_value())


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ValueError(text)
    return names


def _switch(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def _postgres(text: str) -> str:
    """Accept the usual spellings, the seed's included; one driver serves them all."""
    scheme, found, rest = text.partition("://")
    if not found or scheme.split("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError(scheme)
    return f"postgresql+psycopg2://{rest}"


def _limits(text: str) -> str:
    """Accept what Flask-Limiter accepts; it would only log a mistake, and then limit nothing."""
    if not parse_many(text):
        raise ValueError(text)
    return text


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return parse


def _setting(parse: Callable[[str], Any], default: Any = dataclasses.MISSING, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"parse": parse, "secret": secret})


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """The whole configuration; `.env.example` explains each setting. Half of it is secret, so it has no `repr`."""

    database_url: str = _setting(_postgres)
    redis_url: str = _setting(str)
    secret_key: str = _setting(str, secret=True)
    jwt_secret_key: str = _setting(str, secret=True)
    plugin_api_encryption_key: tuple[str, ...] = _setting(_names, secret=True)

    app_env: str = _setting(_one_of("development", "staging", "production"), "production")
    log_level: str = _setting(_one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), "INFO")
    host: str = _setting(str, "127.0.0.1")
    port: int = _setting(int, 8008)
    web_concurrency: int = _setting(int, 2)
    graceful_timeout: int = _setting(int, 30)
    trusted_proxies: int = _setting(int, 0)
    max_body_bytes: int = _setting(int, 32 * 1024 * 1024)
    max_management_body_bytes: int = _setting(int, 1024 * 1024)

    admin_username: str = _setting(str, "")
    admin_password: str = _setting(str, "")
    jwt_algorithm: str = _setting(_one_of("HS256"), "HS256")
    jwt_expire_hours: int = _setting(int, 24)
    login_limit: str = _setting(_limits, "5 per minute; 50 per hour")
    login_limit_per_account: str = _setting(_limits, "100 per hour")

    quota_capacity_per_account: int = _setting(_units, 2 * MICRO)
    quota_refill_per_account: int = _setting(_units, 400_000)
    reference_allowance_tokens: int = _setting(int, 1_000_000)
    max_account_worth: int = _setting(_units, MICRO)
    default_completion_tokens: int = _setting(int, 1024)

    upstream_allowed_hosts: tuple[str, ...] = _setting(_names, ())
    upstream_connect_timeout: float = _setting(float, 5.0)
    upstream_first_byte_timeout: float = _setting(float, 120.0)
    upstream_gap_timeout: float = _setting(float, 120.0)
    upstream_total_timeout: float = _setting(float, 1800.0)
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
    problems += [*_out_of_range(values), *_weak(values)]
    if not problems:
        settings = Settings(**values)
        problems += _inconsistent(settings)
    if problems:
        raise ConfigurationError("Cannot start. " + " ".join(problems))
    return settings


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


def _inconsistent(settings: Settings) -> Iterable[str]:
    if settings.lease_seconds < 2 * settings.heartbeat_seconds:
        yield "LEASE_SECONDS must be at least twice HEARTBEAT_SECONDS, or live streams would be reaped."
    if settings.upstream_total_timeout < settings.upstream_first_byte_timeout:
        yield "UPSTREAM_TOTAL_TIMEOUT must not be shorter than UPSTREAM_FIRST_BYTE_TIMEOUT."


def _out_of_range(values: Mapping[str, Any]) -> Iterable[str]:
    for name, value in values.items():
        if isinstance(value, int | float) and not (0 < value < math.inf or (value == 0 and name in _MAY_BE_ZERO)):
            yield f"{name.upper()} is out of range."


def _weak(values: Mapping[str, Any]) -> Iterable[str]:
    for key in values.get("plugin_api_encryption_key", ()):
        try:
            Fernet(key)
        except ValueError:
            yield "PLUGIN_API_ENCRYPTION_KEY is not a list of Fernet keys."
    if values.get("app_env") == "development":
        return
    seen: set[str] = set()
    for spec in dataclasses.fields(Settings):
        value = values.get(spec.name, ()) if spec.metadata["secret"] else ()
        for text in (value,) if isinstance(value, str) else value:
            if _is_weak(text) or text in seen:
                yield f"{spec.name.upper()} is a weak, sample or reused secret."
            seen.add(text)


def _is_weak(text: str) -> bool:
    if len(text.encode()) < _MIN_SECRET_BYTES or any(sample in text.lower() for sample in _SAMPLES):
        return True
    counts = Counter(text)
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return entropy * len(text) < _MIN_SECRET_BITS
