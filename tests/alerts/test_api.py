"""/api/alerts and /api/admin/alerts."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from shared_accounts.alerts.clock_api import deliver_alerts, watch_for_alerts
from shared_accounts.alerts.preferences import KINDS
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows

PATH, HERS = "/api/alerts", "/api/alerts/preferences"


@pytest.fixture
def alerts(alice):
    """Two of Alice's, one of somebody else's and one for admins."""
    for group in ("m", "n"):
        factories.quota_pool(alice, balance=0, model_group=group)
    factories.quota_pool(factories.user(), balance=0)
    db.session.execute(text("insert into job_runs (task, last_started, failed_in_a_row) values ('j', now(), 3)"))
    db.session.commit()
    watch_for_alerts()


def test_one_sees_ones_own_newest_first_in_words_and_facts(browser, alerts):
    first, second = browser.get(PATH).json

    assert first["id"] > second["id"]
    assert {first["details"]["model_group"], second["details"]["model_group"]} == {"m", "n"}
    assert first["title"] == f"Little quota left for {first['details']['model_group']}"
    assert first["text"] == "0.0000 of 10.0000 units are left; 0.0000 come back each hour."
    assert (first["kind"], first["over_at"], first["read_at"]) == ("quota_low", None, None)


def test_what_was_read_is_no_longer_unread(browser, alerts):
    first, second = browser.get(PATH).json

    read = browser.post(f"{PATH}/{first['id']}/read").json
    assert read["read_at"]
    assert browser.post(f"{PATH}/{first['id']}/read").json == read
    unread = browser.get(PATH, query_string={"unread": "true"})
    assert ([one["id"] for one in unread.json], '"total": 1' in unread.headers["X-Pagination"]) == (
        [second["id"]],
        True,
    )

    assert browser.post(f"{PATH}/read").json == {"count": 1}
    assert browser.post(f"{PATH}/read").json == {"count": 0}
    assert browser.get(PATH, query_string={"unread": "true"}).json == []
    assert sum(row["read_at"] is not None for row in rows("alerts")) == 2


def test_those_of_others_and_of_admins_are_not_there(browser, alerts, alice):
    for row in rows("alerts"):
        if row["user_id"] != alice.id:
            assert browser.post(f"{PATH}/{row['id']}/read").status_code == 404


def test_admins_read_theirs_for_all_of_them(sign_in, alerts):
    boss, other = sign_in(factories.admin()), sign_in(factories.admin())
    (found,) = boss.get("/api/admin/alerts").json
    assert (found["kind"], found["title"]) == ("job_failing", "The job j keeps failing")

    assert boss.post(f"/api/admin/alerts/{found['id']}/read").json["read_at"]

    assert other.get("/api/admin/alerts", query_string={"unread": "true"}).json == []
    assert other.post("/api/admin/alerts/read").json == {"count": 0}
    mine = next(row["id"] for row in rows("alerts") if row["user_id"])
    assert boss.post(f"/api/admin/alerts/{mine}/read").status_code == 404


def test_who_never_said_wants_everything_and_has_no_address(browser):
    assert browser.get(HERS).json == {
        "email": None, "webhook_url": None, "by_email": list(KINDS), "by_webhook": list(KINDS),
        "mails_are_sent": False, "webhook_secret": None,
    }  # fmt: skip
    assert rows("alert_preferences") == []


def test_preferences_change_one_by_one_and_the_secret_is_shown_once(browser, alice):
    first = browser.put(HERS, json={"webhook_url": "https://hooks.example/a?b=c", "by_email": ["key_expiring"]}).json
    assert first["webhook_secret"].startswith("whsec_")
    assert browser.get(HERS).json["webhook_secret"] is None

    second = browser.put(HERS, json={"email": "alice@mail.example"}).json
    assert (second["webhook_secret"], second["webhook_url"], second["by_email"]) == (
        None,
        "https://hooks.example/a?b=c",
        ["key_expiring"],
    )
    renewed = browser.put(HERS, json={"new_webhook_secret": True}).json["webhook_secret"]
    moved = browser.put(HERS, json={"webhook_url": "https://hooks.example/b"}).json["webhook_secret"]
    assert len({first["webhook_secret"], renewed, moved}) == 3
    assert browser.put(HERS, json={"webhook_url": None}).json["webhook_secret"] is None
    assert rows("alert_preferences")[0]["sealed_secret"] is None
    acts = [row for row in rows("audit_log order by id") if row["act"] == "alerts.preferences_changed"]
    assert [row["details"]["changed"] for row in acts][:2] == [["by_email", "webhook_url"], ["email"]]
    assert "hooks.example" not in str(acts)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "nobody"),
        ("email", "a@b c"),
        ("email", "a@b\r\nBcc: c@d"),
        ("email", "Alice <a@b.example>"),
        ("email", "a@b.example,c@d.example"),
        ("email", "a" * 250 + "@b.example"),
        ("webhook_url", "http://hooks.example/"),
        ("webhook_url", "https://user@hooks.example/"),
        ("webhook_url", "ftp://hooks.example/"),
        ("webhook_url", "https://hooks.example/" + "a" * 500),
        ("by_email", ["everything"]),
        ("by_email", ["ledger_broken"]),
        ("by_webhook", "quota_low"),
        ("user_id", 1),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_changes_nothing(browser, field, value):
    answer = browser.put(HERS, json={field: value})

    assert answer.status_code == 422
    assert field in str(answer.json["errors"])
    assert rows("alert_preferences") == []


def test_a_silenced_user_reads_and_changes_nothing(sign_in, committed):
    hers = sign_in(factories.user(state="silenced"))

    assert hers.get(PATH).status_code == 200
    assert hers.put(HERS, json={}).json["error_code"] == "ACCOUNT_SILENCED"
    assert hers.post(f"{PATH}/test").json["error_code"] == "ACCOUNT_SILENCED"


def test_a_test_arrives_whatever_kinds_are_wanted(browser, wants, reachable, mailbox, with_settings):
    wants(email="alice@mail.example", by_email=[])

    assert browser.post(f"{PATH}/test").status_code == 200
    assert browser.post(f"{PATH}/test").status_code == 200
    deliver_alerts()

    assert [letter["Subject"] for letter in mailbox.letters] == ["This is a test"] * 2
    assert [one["kind"] for one in browser.get(PATH).json] == ["test", "test"]


def test_too_many_tests_are_refused_for_an_hour(app, browser, alice):
    answers = [browser.post(f"{PATH}/test") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].headers["Retry-After"] == "3600"
    db.session.execute(text("update alerts set raised_at = raised_at - interval '1 hour'"))
    db.session.commit()
    assert browser.post(f"{PATH}/test").status_code == 200
