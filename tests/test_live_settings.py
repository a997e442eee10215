from __future__ import annotations

import pytest

from shared_accounts import live_settings
from shared_accounts.config import MICRO
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from tests.conftest import rows


def test_what_an_admin_changed_lies_over_the_environment(session, settings):
    live_settings.change({"registration": "open", "quota_refill_per_account": "0.5", "sso_registration": "no"})

    now = live_settings.current(settings)

    assert (now.registration, now.quota_refill_per_account, now.sso_registration) == ("open", MICRO // 2, False)
    assert now.quota_capacity_per_account == settings.quota_capacity_per_account
    assert settings.registration == "closed"


def test_without_a_change_the_environment_is_in_force(session, settings):
    assert live_settings.current(settings) == settings


def test_a_setting_is_given_back_and_twice_is_harmless(session, settings):
    live_settings.change({"registration": "open"})

    live_settings.change({"registration": None})
    live_settings.change({"registration": None})

    assert live_settings.current(settings) == settings
    assert rows("runtime_settings") == []


def test_a_second_change_takes_the_place_of_the_first_and_its_time(session, settings):
    live_settings.change({"registration": "open"})
    session.execute(db.text("update runtime_settings set changed_at = now() - interval '1 day'"))

    live_settings.change({"registration": "invite"})

    assert live_settings.current(settings).registration == "invite"
    assert session.scalar(db.text("select changed_at = now() from runtime_settings")) is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("registration", "ajar"),
        ("require_admin_2fa", "perhaps"),
        ("quota_capacity_per_account", "-1"),
        ("quota_capacity_per_account", "NaN"),
        ("quota_capacity_per_account", "many"),
        ("quota_capacity_per_account", "1000000.000001"),
        ("quota_refill_per_account", "1e18"),
        ("max_account_worth", "Infinity"),
        ("max_account_worth", "0"),
        ("secret_key", "x"),
        ("jwt_expire_hours", "1"),
        ("no_such_setting", "1"),
        ("no_such_setting", None),
    ],
)
def test_what_the_environment_could_not_say_is_refused_by_name(session, settings, name, value):
    with pytest.raises(Unprocessable) as refusal:
        live_settings.change({name: value})

    assert refusal.value.field == name
    assert live_settings.current(settings) == settings


def test_a_row_from_another_version_is_passed_over(session, settings):
    session.execute(db.text("insert into runtime_settings (name, value) values ('long_gone', '7')"))

    assert live_settings.current(settings) == settings
