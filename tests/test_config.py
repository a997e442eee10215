from __future__ import annotations

import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from shared_accounts.config import MICRO, ConfigurationError, load
from tests.conftest import ROOT

GOOD = {
    "DATABASE_URL": "postgresql://u:dsn-password@db/shared_accounts",
    "REDIS_URL": "redis://cache:6379/0",
    "SECRET_KEY": "Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6Ua",
    "JWT_SECRET_KEY": "w2Yk7Qe9Rt4Zs1Xc6Vb3Nm8Lp5Dj0Hg-",
    "PLUGIN_API_ENCRYPTION_KEY": "3q2-7wHhP0pD1cVdXk9sTnR5mQyZb8uLfGj4KxWvE6A=",
}


def test_five_settings_are_enough_and_the_rest_are_the_seeds():
    settings = load(GOOD)

    assert settings.app_env == "production"
    assert settings.quota_capacity_per_account == 2 * MICRO
    assert settings.quota_refill_per_account == 400_000
    assert (settings.port, settings.jwt_expire_hours, settings.log_level) == (8008, 24, "INFO")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg2"])
def test_every_usual_spelling_of_postgresql_reaches_the_one_driver(scheme):
    settings = load({**GOOD, "DATABASE_URL": f"{scheme}://u:p@db/name"})

    assert settings.database_url == "postgresql+psycopg2://u:p@db/name"


def test_everything_that_is_missing_malformed_or_weak_is_named_at_once_and_no_value_is():
    with pytest.raises(ConfigurationError) as error:
        load(
            {
                "SECRET_KEY": "your-secret-key",
                "JWT_SECRET_KEY": "short",
                "PORT": "many",
                "QUOTA_REFILL_PER_ACCOUNT": "-1",
            }
        )

    text = str(error.value)
    missing = ("DATABASE_URL", "REDIS_URL", "PLUGIN_API_ENCRYPTION_KEY")
    for name in (*missing, "SECRET_KEY", "JWT_SECRET_KEY", "PORT", "QUOTA_REFILL_PER_ACCOUNT"):
        assert name in text
    assert not [value for value in ("your-secret", "short", "many") if value in text]


WEAK = [
    "x",
    "a" * 64,
    "your-secret-key-change-this-in-production",
    "abababababababababababababababababababab",
    "EXAMPLE-Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6Ua",
    "Vq3xJ8mWc5Ls0RyTz7Kd1Pb9Hg4Nf6U",  # 31 bytes
]


@pytest.mark.parametrize("secret", WEAK)
@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
def test_a_weak_secret_stops_production_and_is_not_shown(name, secret):
    with pytest.raises(ConfigurationError) as error:
        load({**GOOD, name: secret})

    assert f"{name} is a weak" in str(error.value)
    assert len(secret) < 5 or secret not in str(error.value)
    assert load({**GOOD, name: secret, "APP_ENV": "development"})


@pytest.mark.parametrize(
    "key", ["your-encryption-key-here-min-32-chars", "x", ",", "A" * 43 + "=", f"{GOOD['PLUGIN_API_ENCRYPTION_KEY']},x"]
)
def test_encryption_keys_must_be_strong_fernet_keys(key):
    with pytest.raises(ConfigurationError, match="PLUGIN_API_ENCRYPTION_KEY"):
        load({**GOOD, "PLUGIN_API_ENCRYPTION_KEY": key})


def test_one_secret_may_not_serve_two_purposes():
    with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY"):
        load({**GOOD, "JWT_SECRET_KEY": GOOD["SECRET_KEY"]})


def test_keys_can_be_rotated():
    new = Fernet.generate_key().decode()

    settings = load({**GOOD, "PLUGIN_API_ENCRYPTION_KEY": f"{new}, {GOOD['PLUGIN_API_ENCRYPTION_KEY']}"})

    assert settings.plugin_api_encryption_key == (new, GOOD["PLUGIN_API_ENCRYPTION_KEY"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APP_ENV", "test"),
        ("LOG_LEVEL", "LOUD"),
        ("DATABASE_URL", "mysql://u:p@db/name"),
        ("DATABASE_URL", "db"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_EXPIRE_HOURS", "0"),
        ("PORT", "-1"),
        ("PORT", "8008.5"),
        ("MAX_BODY_BYTES", "0"),
        ("DATABASE_POOL_SIZE", "0"),
        ("QUOTA_CAPACITY_PER_ACCOUNT", "Infinity"),
        ("QUOTA_CAPACITY_PER_ACCOUNT", "NaN"),
        ("QUOTA_CAPACITY_PER_ACCOUNT", "two"),
        ("QUOTA_CAPACITY_PER_ACCOUNT", "1000001"),
        ("QUOTA_REFILL_PER_ACCOUNT", "-1e99999"),
        ("GIFT_DAILY_LIMIT", "1e18"),
        ("UPSTREAM_GAP_TIMEOUT", "nan"),
        ("UPSTREAM_GAP_TIMEOUT", "inf"),
        ("LOGIN_LIMIT", "often"),
        ("LOGIN_LIMIT", "5 per minuet"),
        ("LOGIN_LIMIT_PER_ACCOUNT", "100"),
        ("MAX_ATTEMPTS", "0"),
        ("SMTP_SECURITY", "ssl"),
        ("MAIL_FROM", "Pool <pool@pool.example>"),
        ("ALERT_EMAIL", "ops"),
        ("ALERT_WEBHOOK_SECRET", "whsec_short"),
        ("ALERT_WEBHOOK_SECRET", "w2Yk7Qe9Rt4Zs1Xc6Vb3Nm8Lp5Dj0HgKf9s"),
        ("ALERT_QUOTA_LOW_SHARE", "-0.1"),
        ("ALERT_EXPIRY_DAYS", "0"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=name):
        load({**GOOD, name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"LEASE_SECONDS": "30", "HEARTBEAT_SECONDS": "20"},
        {"UPSTREAM_TOTAL_TIMEOUT": "10", "UPSTREAM_FIRST_BYTE_TIMEOUT": "20"},
        {"ALERT_QUOTA_LOW_SHARE": "1.1"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes):
    with pytest.raises(ConfigurationError, match=" ".join(list(changes)[:1])):
        load({**GOOD, **changes})


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"SMTP_HOST": "mail.example"}, "MAIL_FROM"),
        ({"ALERT_EMAIL": "ops@pool.example"}, "SMTP_HOST"),
        ({"ALERT_WEBHOOK_URL": "https://hooks.example/"}, "ALERT_WEBHOOK_SECRET"),
    ],
)
def test_what_letters_need_besides_is_missed_by_name(given, missing):
    with pytest.raises(ConfigurationError, match=f"{missing} is missing"):
        load({**GOOD, **given})


def test_an_empty_value_means_the_default():
    assert load({**GOOD, "PORT": "", "ADMIN_USERNAME": "  "}) == load(GOOD)


def test_there_may_be_as_many_units_as_a_pool_can_count():
    assert load({**GOOD, "QUOTA_CAPACITY_PER_ACCOUNT": "1e6"}).quota_capacity_per_account == 10**6 * MICRO


def test_units_are_exact():
    assert load({**GOOD, "QUOTA_REFILL_PER_ACCOUNT": "0.1"}).quota_refill_per_account == 100_000


def test_the_process_environment_wins_over_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in GOOD.items()) + "PORT=1111\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "2222")
    for name in GOOD:
        monkeypatch.delenv(name, raising=False)

    settings = load()

    assert (settings.port, settings.secret_key) == (2222, GOOD["SECRET_KEY"])


def test_settings_show_no_secret_when_printed():
    shown = repr(load(GOOD)) + str(load(GOOD))

    assert not [value for value in (*GOOD.values(), "dsn-password") if value in shown]


def test_a_process_that_cannot_start_says_why_and_ends(tmp_path):
    program = "import sys; sys.path.insert(0, sys.argv[1]); import wsgi"
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT)], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert "JWT_SECRET_KEY is missing" in done.stderr
