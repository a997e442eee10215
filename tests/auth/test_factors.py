"""The second factor: each code once, no session without it, and a way back for who lost it."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pyotp
import pytest

from shared_accounts.auth import factors
from shared_accounts.extensions import db
from tests import factories as make
from tests.conftest import rows
from tests.factories import PASSWORD

LOGIN, SECOND = "/api/auth/login", "/api/auth/login/second-factor"
CREDENTIALS = {"username": "alice", "password": PASSWORD}


class Authenticator:
    """An app on a phone, and the codes on a sheet of paper."""

    def __init__(self, secret: str, paper: list[str], clock: SimpleNamespace) -> None:
        self.totp = pyotp.TOTP(secret)
        self.paper = paper
        self.clock = clock

    def code(self) -> str:
        """A code nobody has used: half a minute goes by."""
        self.clock.now += 30
        return self.totp.at(self.clock.now)


@pytest.fixture
def clock(monkeypatch):
    """The clock by which codes are checked; it stands still, so that no test crosses a step by chance."""
    hands = SimpleNamespace(now=int(time.time()))
    monkeypatch.setattr(factors, "time", SimpleNamespace(time=lambda: hands.now))
    return hands


@pytest.fixture
def alice(client):
    return make.user(username="alice", password=PASSWORD)


@pytest.fixture
def browser(sign_in, alice):
    return sign_in(alice)


@pytest.fixture
def phone(browser, clock):
    """Alice's authenticator, set up."""
    secret = browser.post("/api/auth/second-factor").json["secret"]
    totp = pyotp.TOTP(secret)
    answer = browser.post("/api/auth/second-factor/confirm", json={"code": totp.at(clock.now)})
    assert answer.status_code == 200, answer.text
    return Authenticator(secret, answer.json["recovery_codes"], clock)


def log_in(client, **more):
    return client.post(LOGIN, json={**CREDENTIALS, **more})


def test_setting_up_a_second_factor(browser, alice):
    made = browser.post("/api/auth/second-factor").json

    assert re.fullmatch(r"[A-Z2-7]{32}", made["secret"])
    assert made["otpauth_uri"].startswith("otpauth://totp/shared_accounts:alice?secret=" + made["secret"])
    assert browser.get("/api/auth/second-factor").json == {"enabled": False, "recovery_codes_left": 0}
    assert made["secret"].encode() not in bytes(rows("second_factors")[0]["sealed_secret"])

    wrong = browser.post("/api/auth/second-factor/confirm", json={"code": "000000"})
    assert (wrong.status_code, "code" in wrong.json["errors"]["json"]) == (422, True)
    answer = browser.post("/api/auth/second-factor/confirm", json={"code": pyotp.TOTP(made["secret"]).now()})

    assert len(set(answer.json["recovery_codes"])) == 10
    assert all(re.fullmatch(r"([a-z2-9]{4}-){2}[a-z2-9]{4}", code) for code in answer.json["recovery_codes"])
    assert browser.get("/api/auth/second-factor").json == {"enabled": True, "recovery_codes_left": 10}
    assert browser.post("/api/auth/second-factor").status_code == 409
    assert browser.post("/api/auth/second-factor/confirm", json={"code": "123456"}).status_code == 409


def test_a_factor_that_was_never_confirmed_asks_for_nothing(browser, client):
    browser.post("/api/auth/second-factor")

    assert log_in(client).status_code == 200


def test_confirming_ends_the_other_sessions(sign_in, alice, browser):
    other = sign_in(alice)
    secret = browser.post("/api/auth/second-factor").json["secret"]
    browser.post("/api/auth/second-factor/confirm", json={"code": pyotp.TOTP(secret).now()})

    assert other.get("/api/auth/me").status_code == 401
    assert browser.get("/api/auth/me").status_code == 200


def test_the_right_password_alone_opens_nothing(client, phone):
    before = len(rows("sessions"))

    answer = log_in(client)

    assert (answer.status_code, answer.json["error_code"]) == (401, "SECOND_FACTOR_REQUIRED")
    assert "access_token" not in answer.json
    assert answer.json["expires_in"] == 300
    assert len(rows("sessions")) == before


def test_the_code_may_come_after_or_with_the_password(client, phone):
    challenge = log_in(client).json["challenge"]

    after = client.post(SECOND, json={"challenge": challenge, "code": phone.code()})
    along = log_in(client, code=phone.code())

    for answer in (after, along):
        assert answer.status_code == 200, answer.text
        assert {"access_token", "refresh_token", "token_type", "expires_in", "user"} == set(answer.json)
    assert [row["second_factor"] for row in rows("sessions")] == [True] * 3


def test_a_wrong_password_never_hears_of_a_second_factor(client, phone):
    with_it = client.post(LOGIN, json={**CREDENTIALS, "password": "wrong", "code": phone.code()})
    unknown = client.post(LOGIN, json={**CREDENTIALS, "username": "nobody", "code": "123456"})

    assert with_it.status_code == unknown.status_code == 401
    assert with_it.data == unknown.data


def test_a_code_is_good_once(client, phone):
    code = phone.code()
    challenges = [log_in(client).json["challenge"] for _ in range(2)]

    answers = [client.post(SECOND, json={"challenge": one, "code": code}) for one in challenges]

    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[1].json["error_code"] == "INVALID_SECOND_FACTOR"


def test_of_two_who_send_one_code_at_the_same_time_one_is_let_in(app, committed, client, phone):
    code, together = phone.code(), Barrier(4)
    challenges = [log_in(client).json["challenge"] for _ in range(4)]

    def send(challenge):
        together.wait()
        return app.test_client().post(SECOND, json={"challenge": challenge, "code": code}).status_code

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(send, challenges)) == [200, 401, 401, 401]


def test_a_code_of_a_step_before_one_that_was_spent_is_refused(client, phone):
    earlier, later = phone.code(), phone.code()  # the earlier one would still be tolerated
    assert log_in(client, code=later).status_code == 200

    assert log_in(client, code=earlier).status_code == 401


def test_a_challenge_is_good_once_and_for_five_minutes(client, phone):
    challenge = log_in(client).json["challenge"]
    assert client.post(SECOND, json={"challenge": challenge, "code": phone.code()}).status_code == 200
    assert (
        client.post(SECOND, json={"challenge": challenge, "code": phone.code()}).json["error_code"] == "INVALID_TOKEN"
    )

    challenge = log_in(client).json["challenge"]
    db.session.execute(db.text("update tickets set expires_at = now() - interval '1 second'"))
    db.session.commit()
    assert client.post(SECOND, json={"challenge": challenge, "code": phone.paper[0]}).status_code == 401


def test_a_mistyped_code_may_be_corrected(client, phone):
    challenge = log_in(client).json["challenge"]

    assert client.post(SECOND, json={"challenge": challenge, "code": "000000"}).status_code == 401
    assert client.post(SECOND, json={"challenge": challenge, "code": phone.code()}).status_code == 200


def test_codes_cannot_be_guessed_for_long(client, phone):
    challenge = log_in(client).json["challenge"]
    answers = [client.post(SECOND, json={"challenge": challenge, "code": f"00000{n}"}) for n in range(6)]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    # Neither does the other way in, nor another address.
    assert log_in(client, code="000000").status_code == 429
    assert client.post(
        SECOND, json={"challenge": challenge, "code": "1" * 6}, environ_base={"REMOTE_ADDR": "198.51.100.9"}
    ).status_code == 429  # fmt: skip
    assert [row["act"] for row in rows("audit_log")].count("sign_in.refused") == 5


def test_a_recovery_code_stands_in_once_however_it_is_typed(client, phone, browser):
    code = phone.paper[3]

    assert log_in(client, code=code.upper().replace("-", " ")).status_code == 200
    assert log_in(client, code=code).status_code == 401
    assert browser.get("/api/auth/second-factor").json["recovery_codes_left"] == 9


def test_new_recovery_codes_make_the_old_ones_worthless(client, phone, browser):
    answer = browser.post("/api/auth/second-factor/recovery-codes", json={"code": phone.code()})
    fresh = answer.json["recovery_codes"]

    assert log_in(client, code=phone.paper[0]).status_code == 401
    assert log_in(client, code=fresh[0]).status_code == 200


def test_removing_it_takes_a_last_code(client, phone, browser):
    wrong = browser.delete("/api/auth/second-factor", json={"code": "000000"})
    assert (wrong.status_code, "code" in wrong.json["errors"]["json"]) == (422, True)
    assert log_in(client).status_code == 401

    assert browser.delete("/api/auth/second-factor", json={"code": phone.code()}).status_code == 200

    assert log_in(client).status_code == 200
    assert rows("recovery_codes") == rows("second_factors") == []


def test_somebody_disabled_between_the_factors_is_not_let_in(client, phone, alice):
    challenge = log_in(client).json["challenge"]
    alice.state = "disabled"
    db.session.commit()

    answer = client.post(SECOND, json={"challenge": challenge, "code": phone.code()})

    assert (answer.status_code, answer.json["error_code"]) == (403, "ACCOUNT_DISABLED")


def test_no_code_and_no_secret_lies_in_the_audit_log(client, phone):
    code = phone.code()
    log_in(client, code=code)
    kept = str(rows("audit_log"))

    assert "second_factor.confirmed" in kept
    assert not [secret for secret in (code, phone.totp.secret, *phone.paper, PASSWORD) if secret in kept]


@pytest.mark.parametrize(("seconds", "status"), [(-60, 401), (-30, 200), (0, 200), (30, 200), (60, 401)])
def test_a_clock_may_be_half_a_minute_off(client, phone, clock, seconds, status):
    clock.now += 300

    assert log_in(client, code=phone.totp.at(clock.now + seconds)).status_code == status
