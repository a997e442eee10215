"""Letters: by mail and by webhook, each once, signed, in time, and with nothing secret in them."""

from __future__ import annotations

import json
import time

import pytest
from flask import current_app
from sqlalchemy import text
from standardwebhooks import Webhook, WebhookVerificationError

from shared_accounts.accounts import standing
from shared_accounts.alerts import mail, post, webhook
from shared_accounts.alerts.clock_api import deliver_alerts, watch_for_alerts
from shared_accounts.alerts.failures import Undelivered
from shared_accounts.errors import Unprocessable
from shared_accounts.extensions import db
from tests import factories
from tests.conftest import rows
from tests.quotas.sharing import contributed
from tests.together import at_once
from tests.upstream import Upstream, drips, refuses, says, stalls_before_the_head

pytestmark = pytest.mark.usefixtures("reachable")


def low(user):
    factories.quota_pool(user, balance=0)
    watch_for_alerts()


def letters():
    return {row["channel"]: (row["state"], row["attempts"], row["problem"]) for row in rows("alert_deliveries")}


def due_now():
    db.session.execute(text("update alert_deliveries set due_at = now() where state = 'due'"))
    db.session.commit()


def test_an_alert_arrives_by_mail_and_by_webhook_in_so_many_words(alice, wants, mailbox, receiver):
    secret = wants(email="alice@mail.example", webhook_url=f"{receiver.url}/hook?team=1")["webhook_secret"]
    low(alice)

    deliver_alerts()

    (letter,) = mailbox.letters
    assert (letter["To"], letter["From"]) == ("alice@mail.example", "pool@pool.example")
    assert letter["Subject"] == "Little quota left for m"
    assert "0.0000 of 10.0000 units are left" in letter.get_content()
    assert "额度所剩不多" in letter.get_content()
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/v1/hook?team=1")
    told = Webhook(secret).verify(request.body, dict(request.headers))
    assert (told["type"], told["data"]["kind"], told["data"]["user"]) == ("alert.quota_low", "quota_low", "alice")
    assert told["data"]["details"]["balance"] == "0.0000"
    assert letters() == {"email": ("sent", 1, None), "webhook": ("sent", 1, None)}


def test_what_was_sent_is_not_sent_again_by_whoever_comes_next_or_beside(app, alice, wants, mailbox, receiver):
    wants(email="alice@mail.example", webhook_url=receiver.url)
    for group in "abcde":
        factories.quota_pool(alice, balance=0, model_group=group)
    watch_for_alerts()

    at_once(app, *[deliver_alerts] * 4)
    deliver_alerts()

    assert len(mailbox.letters) == len(receiver.requests) == 5
    assert len({letter["Message-ID"] for letter in mailbox.letters}) == 5
    assert len({request.header("webhook-id") for request in receiver.requests}) == 5


def test_a_worker_that_dies_before_it_sends_delays_a_letter_and_one_after_repeats_it_by_the_same_id(
    alice, wants, receiver
):
    wants(webhook_url=receiver.url)
    low(alice)
    settings, vault = current_app.extensions["settings"], current_app.extensions["vault"]

    next(post.letters(settings, vault))
    db.session.commit()  # and here it dies
    deliver_alerts()
    assert (receiver.requests, letters()["webhook"]) == ([], ("due", 1, None))

    due_now()
    letter = next(post.letters(settings, vault))
    db.session.commit()
    post.deliver(letter, settings)
    db.session.rollback()  # and here, having sent it
    due_now()
    deliver_alerts()

    assert len(receiver.requests) == 2
    assert len({request.header("webhook-id") for request in receiver.requests}) == 1
    assert letters()["webhook"] == ("sent", 3, None)


def test_what_fails_comes_again_later_and_later_until_it_is_given_up(alice, wants, receiver, mailbox):
    wants(email="alice@mail.example", webhook_url=receiver.url)
    receiver.plays(refuses(500))
    mailbox.refusal = "451 later"
    low(alice)

    waits = []
    for _ in range(8):
        deliver_alerts()
        found = db.session.execute(
            text("select channel, extract(epoch from due_at - now())::int / 60 from alert_deliveries")
        )
        waits.append(dict(found.all())["webhook"])
        db.session.rollback()
        due_now()
    deliver_alerts()

    assert waits == sorted(waits)
    assert (waits[0] in {1, 2}, waits[-1] > 200) == (True, True)
    assert len(receiver.requests) == 8
    assert letters()["webhook"] == ("given_up", 8, "the webhook answered 500")
    assert letters()["email"] == ("given_up", 8, "the mail server did not take it (SMTPDataError)")


@pytest.mark.parametrize("status", [301, 302, 307, 404, 410])
def test_no_redirect_is_followed_and_who_says_gone_is_left_alone(alice, wants, receiver, status):
    elsewhere = Upstream(says(b"{}"))
    receiver.plays(says(b"", status=status, headers=[("location", elsewhere.url)]))
    wants(webhook_url=receiver.url)
    low(alice)

    deliver_alerts()

    elsewhere.stop()
    assert (len(receiver.requests), elsewhere.requests) == (1, [])
    assert letters()["webhook"] == ("given_up" if status == 410 else "due", 1, f"the webhook answered {status}")


def test_a_receiver_that_never_answers_is_left_to_the_next_turn(alice, wants, receiver, monkeypatch):
    monkeypatch.setattr(webhook, "_SECONDS", 0.5)
    wants(webhook_url=receiver.url)
    receiver.plays(stalls_before_the_head)
    low(alice)

    deliver_alerts()

    assert letters()["webhook"] == ("due", 1, "timed out")


def test_an_answer_that_never_ends_is_not_read(alice, wants, receiver):
    wants(webhook_url=receiver.url)
    receiver.plays(drips(0.05))
    low(alice)

    deliver_alerts()

    assert letters()["webhook"] == ("sent", 1, None)


def test_a_mail_server_that_refuses_the_address_is_not_asked_again(alice, wants, mailbox):
    wants(email="nobody@mail.example")
    mailbox.refusal = "550 no such mailbox"
    low(alice)

    deliver_alerts()

    assert letters()["email"] == ("given_up", 1, "the mail server refuses the address")


def test_a_mail_server_that_is_away_is_asked_again(alice, wants, with_settings):
    wants(email="alice@mail.example")
    low(alice)
    settings = current_app.extensions["settings"]

    with with_settings(smtp_host="127.0.0.1", smtp_port=9, smtp_security="none", mail_from=settings.mail_from):
        deliver_alerts()

    assert letters()["email"][0] == "due"
    assert "ConnectionRefusedError" in letters()["email"][2]


def test_mails_go_by_tls_to_a_server_that_proves_who_it_is_and_with_a_password(
    committed, secure_mailbox, with_settings
):
    server = {"smtp_port": secure_mailbox.port, "smtp_security": "starttls", "mail_from": "pool@pool.example"}
    letter = {"to": "alice@mail.example", "subject": "s", "text": "t", "message_id": "alert-1"}
    with with_settings(**server, smtp_host="localhost", smtp_username="robot", smtp_password="a password"):
        mail.send(current_app.extensions["settings"], **letter)
    assert secure_mailbox.secure == [True]

    for wrong in ({"smtp_host": "127.0.0.1"}, {"smtp_host": "localhost", "smtp_password": "wrong"}):
        known = {**server, "smtp_username": "robot", "smtp_password": "a password", **wrong}
        with with_settings(**known), pytest.raises(Undelivered) as refused:
            mail.send(current_app.extensions["settings"], **letter)
        assert "password" not in refused.value.reason
    assert len(secure_mailbox.letters) == 1


def test_without_a_mail_server_no_mail_is_written(alice, wants, with_settings, mailbox):
    wants(email="alice@mail.example")
    with with_settings():
        low(alice)

    deliver_alerts()

    assert (letters(), mailbox.letters) == ({}, [])
    assert len(rows("alerts")) == 1


def test_the_operator_hears_of_her_own_alerts_by_both(committed, mailbox, receiver, with_settings):
    secret = "whsec_c2VjcmV0IG9mIHRoZSBvcGVyYXRvciwgdGhpcnR5LXR3byBi"
    settings = current_app.extensions["settings"]
    hers = {"alert_email": "ops@pool.example", "alert_webhook_url": receiver.url, "alert_webhook_secret": secret}
    mine = {name: getattr(settings, name) for name in ("smtp_host", "smtp_port", "smtp_security", "mail_from")}
    with with_settings(**mine, **hers, webhook_allowed_hosts=("127.0.0.1",)):
        db.session.execute(
            text("insert into job_runs (task, last_started, failed_in_a_row) values ('roll_up_usage', now(), 3)")
        )
        factories.quota_pool(factories.user(), balance=0)
        watch_for_alerts()
        deliver_alerts()

    assert [letter["To"] for letter in mailbox.letters] == ["ops@pool.example"]
    (request,) = receiver.requests
    assert Webhook(secret).verify(request.body, dict(request.headers))["data"]["details"]["job"] == "roll_up_usage"


def test_kinds_that_are_not_wanted_are_not_sent_and_still_shown(alice, browser, wants, mailbox, receiver):
    wants(email="alice@mail.example", webhook_url=receiver.url, by_email=[], by_webhook=["account_broken"])
    low(alice)
    standing.take_out(contributed(alice, models=["n"]).id, "broken", "a test")
    db.session.commit()
    watch_for_alerts()
    deliver_alerts()

    assert mailbox.letters == []
    assert [json.loads(request.body)["data"]["kind"] for request in receiver.requests] == ["account_broken"]
    assert {one["kind"] for one in browser.get("/api/alerts").json} == {"quota_low", "account_broken"}


def test_an_address_that_was_withdrawn_meanwhile_gets_nothing(alice, wants, mailbox, receiver):
    wants(email="alice@mail.example", webhook_url=receiver.url)
    low(alice)
    wants(email=None, webhook_url=None)

    deliver_alerts()

    assert (mailbox.letters, receiver.requests) == ([], [])
    assert {state for state, *_ in letters().values()} == {"given_up"}


def test_an_address_that_is_no_longer_allowed_gets_nothing(alice, wants, receiver, with_settings):
    wants(webhook_url=receiver.url)
    low(alice)

    with with_settings():
        deliver_alerts()

    assert receiver.requests == []
    assert letters()["webhook"] == ("given_up", 1, "the address may not be used any more")


def test_a_signature_is_of_this_body_this_time_and_this_secret(receiver):
    secret, now = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", int(time.time())
    webhook.send(receiver.url, secret, "alert-7", now, b'{"a": 1}', allowed=("127.0.0.1",))

    headers = dict(receiver.requests[0].headers)
    assert Webhook(secret).verify(b'{"a": 1}', headers) == {"a": 1}
    for body, key, when in (
        (b'{"a": 2}', secret, now),
        (b'{"a": 1}', secret[:-4] + "AAAA", now),
        (b'{"a": 1}', secret, now - 600),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, {**headers, "webhook-timestamp": str(when)})


REFUSED = [
    "http://hooks.example/a", "https://127.0.0.1/a", "https://localhost/a", "https://[::1]/a", "https://[::ffff:127.0.0.1]/",
    "https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://0/", "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/", "https://192.168.1.1/", "https://[64:ff9b::7f00:1]/", "https://224.0.0.1/", "https://192.0.0.8/",
    "https://[fd00::1]/", "https://user:pass@hooks.example/", "https://hooks.example/#a", "https://hooks.example/?a#b",
    "file:///etc/passwd", "gopher://hooks.example/", "ftp://hooks.example/", "//hooks.example/", "https://",
    "https://hooks.example/a b", "https://hooks.example/?a b", "https://hooks.example/?a\r\nx: y", "https://a.com\\@127.0.0.1/",
    "https://hooks.example/?\u00e9", "nonsense", "",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_a_webhook_leads_nowhere_inside(url):
    with pytest.raises((Unprocessable, Undelivered)) as refused:
        webhook.send(url, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "alert-1", 1, b"{}", allowed=())

    if isinstance(refused.value, Undelivered):
        assert refused.value.reason == "the host is not one we may connect to"
    else:
        assert refused.value.field == "webhook_url"


def test_no_secret_is_in_a_letter_an_alert_or_a_log(alice, wants, browser, mailbox, receiver, caplog, sign_in):
    caplog.set_level("DEBUG")
    secret = wants(email="alice@mail.example", webhook_url=f"{receiver.url}/canary-path?canary=query")["webhook_secret"]
    canaries = [
        "sk-canary-upstream-credential-0123456789",
        "canary upstream words",
        "canary-path",
        "canary=query",
        secret,
    ]
    account = contributed(alice, canaries[0])
    _, key = factories.api_key(alice, name="laptop")
    standing.take_out(account.id, "needs_sign_in", "canary upstream words")
    db.session.execute(
        text("update api_keys set created_at = now() - interval '9 days', expires_at = now() + interval '1 day'")
    )
    db.session.commit()
    receiver.plays(refuses(500, "canary answer"))
    watch_for_alerts()
    deliver_alerts()

    said = " ".join(
        [*(letter.as_string() for letter in mailbox.letters), *(r.body.decode() for r in receiver.requests)]
    )
    shown = browser.get("/api/alerts").get_data(as_text=True) + json.dumps(
        rows("alerts") + rows("alert_deliveries"), default=str
    )
    logged = " ".join(
        f"{record.getMessage()} {vars(record)}" for record in caplog.records if not record.name.startswith("mail.log")
    )
    assert len(mailbox.letters) == len(receiver.requests) == 2
    for canary in [*canaries, key, "canary answer"]:
        assert canary not in said
        assert canary not in shown
        assert canary not in logged
    assert secret not in json.dumps(rows("alert_preferences"), default=str)
    assert secret not in browser.get("/api/alerts/preferences").get_data(as_text=True)
