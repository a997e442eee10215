from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest
import redis

from shared_accounts.auth import passwords
from shared_accounts.auth.models import Session
from shared_accounts.extensions import db
from shared_accounts.users.models import User
from tests import factories
from tests.conftest import rows
from tests.factories import PASSWORD

LOGIN = "/api/auth/login"


def _log_in(client, username, password=PASSWORD, **options):
    return client.post(LOGIN, json={"username": username, "password": password}, **options)


def _bearer(answer):
    return {"Authorization": f"Bearer {answer.json['access_token']}"}


def test_the_life_of_a_sign_in(client, session):
    user = factories.user(username="Alice", password=PASSWORD)

    answer = _log_in(client, " alice ", headers={"User-Agent": "tests/1"})

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert {key: answer.json[key] for key in ("token_type", "expires_in")} == {
        "token_type": "bearer",
        "expires_in": 86400,
    }
    session.expire_all()
    row = session.scalar(db.select(Session))
    assert (row.user_id, row.user_agent, row.address) == (user.id, "tests/1", "127.0.0.1")

    me = client.get("/api/auth/me", headers=_bearer(answer))
    assert me.json == answer.json["user"]

    out = client.post("/api/auth/logout", headers=_bearer(answer))
    assert out.json == {"message": "Signed out.", "success": True}
    assert client.get("/api/auth/me", headers=_bearer(answer)).status_code == 401
    assert client.post("/api/auth/logout", headers=_bearer(answer)).status_code == 401


def test_a_user_is_described_as_the_front_end_expects(client, session):
    user = factories.user(password=PASSWORD, state="silenced", trust_level=2, prefer_shared=True)

    body = _log_in(client, user.username).json["user"]

    assert body.pop("created_at").endswith("+00:00")
    assert body.pop("last_login_at").endswith("+00:00")
    assert body == {
        "id": user.id,
        "username": user.username,
        "avatar_url": None,
        "trust_level": 2,
        "role": "user",
        "is_active": True,
        "is_silenced": True,
        "beta": 0,
        "use_only_dedicated": False,
        "prefer_shared": True,
    }


def test_signing_out_ends_this_session_and_no_other(client, session):
    user = factories.user(password=PASSWORD)
    first, second = _log_in(client, user.username), _log_in(client, user.username)

    client.post("/api/auth/logout", headers=_bearer(first))

    assert client.get("/api/auth/me", headers=_bearer(first)).status_code == 401
    assert client.get("/api/auth/me", headers=_bearer(second)).status_code == 200


def test_a_flushed_redis_lets_nobody_back_in(client, session, redis_server):
    answer = _log_in(client, factories.user(password=PASSWORD).username)
    client.post("/api/auth/logout", headers=_bearer(answer))

    with redis.Redis.from_url(redis_server.url()) as connection:
        connection.flushall()

    assert client.get("/api/auth/me", headers=_bearer(answer)).status_code == 401


def test_every_refused_sign_in_looks_the_same(client, session):
    factories.user(username="with-password", password=PASSWORD)
    factories.user(username="by-sso")
    factories.user(username="disabled", password=PASSWORD, state="disabled")

    answers = [_log_in(client, name, "wrong") for name in ("nobody", "with-password", "by-sso", "disabled")]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1
    assert answers[0].json["error_code"] == "INVALID_CREDENTIALS"
    assert rows("sessions") == []


@pytest.mark.usefixtures("real_passwords")
def test_every_refused_sign_in_is_as_much_work_for_whoever_does_not_exist(client, session, hashing):
    factories.user(username="with-password", password=PASSWORD)
    factories.user(username="by-sso")
    factories.user(username="disabled", password=PASSWORD, state="disabled")

    for name in ("nobody", "with-password", "by-sso", "disabled"):
        assert _log_in(client, name, "wrong").status_code == 401

    assert hashing == [(44, b"$2b$12$", 60)] * 4  # bench/sign_in_timing.py asks the clock


def test_a_disabled_user_learns_it_only_by_the_right_password(client, session):
    factories.user(username="disabled", password=PASSWORD, state="disabled")

    answer = _log_in(client, "disabled")

    assert (answer.status_code, answer.json["error_code"]) == (403, "ACCOUNT_DISABLED")
    assert rows("sessions") == []


@pytest.mark.usefixtures("real_passwords")
def test_a_hash_of_a_lower_cost_is_made_again_at_sign_in(client, session):
    salt = bcrypt.gensalt(10)
    old = "$bcrypt-sha256$v=1" + bcrypt.hashpw(passwords._digest(PASSWORD, salt), salt).decode()  # noqa: SLF001
    user = factories.user(password_hash=old)

    assert _log_in(client, user.username).status_code == 200

    session.expire_all()
    assert user.password_hash.startswith("$bcrypt-sha256$v=1$2b$12$")
    assert passwords.verify(PASSWORD, user.password_hash)


@pytest.mark.usefixtures("real_passwords")
def test_no_connection_is_kept_while_a_password_is_hashed(client, committed):
    user = factories.user(password=PASSWORD)
    name = user.username
    db.session.remove()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(_log_in(client, name, "wrong")))

    thread.start()
    seen = []
    while thread.is_alive():
        seen.append(db.engine.pool.checkedout())
        time.sleep(0.001)

    assert answers[0].status_code == 401
    assert seen.count(0) > 0.7 * len(seen)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": "x"}, "username"),
        ({"username": "alice"}, "password"),
        ({"username": "", "password": "x"}, "username"),
        ({"username": "x" * 51, "password": "x"}, "username"),
        ({"username": 7, "password": "x"}, "username"),
        ({"username": None, "password": "x"}, "username"),
        ({"username": "a\nb", "password": "x"}, "username"),
        ({"username": "alice", "password": ""}, "password"),
        ({"username": "alice", "password": ["x"]}, "password"),
        ({"username": "alice", "password": "x" * 1025}, "password"),
        ({"username": "alice", "password": "密" * 400}, "password"),
        ({"username": "alice", "password": "x", "role": "admin"}, "role"),
    ],
)
def test_a_body_that_cannot_be_used_names_the_field_and_repeats_no_password(client, body, field):
    answer = client.post(LOGIN, json=body)

    assert answer.status_code == 422
    assert field in answer.json["errors"]["json"]
    assert "xxxx" not in answer.text
    assert "密" not in answer.text


def test_the_sixth_wrong_password_in_a_minute_is_not_even_looked_at(client, session, hashing):
    factories.user(username="alice", password=PASSWORD)
    factories.user(username="bob", password=PASSWORD)
    for _ in range(5):
        assert _log_in(client, "alice", "wrong").status_code == 401

    answer = _log_in(client, "ALICE")

    assert (answer.status_code, answer.json["error_code"]) == (429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["Retry-After"]) <= 61
    assert len(hashing) == 5
    assert _log_in(client, "bob").status_code == 200
    assert _log_in(client, "alice", environ_base={"REMOTE_ADDR": "198.51.100.7"}).status_code == 200


def test_a_throttle_also_guards_names_that_do_not_exist(client):
    statuses = [_log_in(client, "nobody", "wrong").status_code for _ in range(6)]

    assert statuses == [401] * 5 + [429]


def test_right_passwords_are_not_counted(client, session):
    factories.user(username="alice", password=PASSWORD)

    statuses = [_log_in(client, "alice").status_code for _ in range(6)]
    statuses += [_log_in(client, "alice", "wrong").status_code for _ in range(6)]

    assert statuses == [200] * 6 + [401] * 5 + [429]


def test_one_name_is_throttled_from_everywhere_together(client, session, with_settings):
    factories.user(username="alice", password=PASSWORD)
    with with_settings(login_limit_per_account="3 per hour"):
        statuses = [
            _log_in(client, "alice", "wrong", environ_base={"REMOTE_ADDR": f"198.51.100.{n}"}).status_code
            for n in range(4)
        ]
        answer = _log_in(client, "alice")

    assert statuses == [401, 401, 401, 429]
    assert int(answer.headers["Retry-After"]) > 60


def test_another_spelling_of_a_name_is_no_fresh_start(client, session):
    factories.user(username="Zo\u00eb")
    spellings = ["zo\u00eb", "zoe\u0308", "ZO\u00cb", " ZOE\u0308 ", "Zo\u00eb", "zoE\u0308"]

    statuses = [_log_in(client, name, "wrong").status_code for name in spellings]

    assert statuses == [401] * 5 + [429]


def test_guesses_made_at_once_are_all_counted(app, committed, client):
    factories.user(username="alice", password=PASSWORD)

    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(lambda _: _log_in(app.test_client(), "alice", "wrong").status_code, range(12)))

    assert sorted(statuses) == [401] * 5 + [429] * 7


def test_no_name_lies_in_redis(client, session, redis_server):
    _log_in(client, "alice-the-secret", "wrong")

    with redis.Redis.from_url(redis_server.url(), decode_responses=True) as connection:
        keys = connection.keys()

    assert keys
    assert not [key for key in keys if "alice" in key.lower()]


def test_without_redis_people_sign_in_and_guessing_is_still_throttled(committed, client, redis_server):
    factories.user(username="alice", password=PASSWORD)
    redis_server.stop()
    try:
        statuses = [_log_in(client, "alice").status_code]
        statuses += [_log_in(client, "alice", "wrong").status_code for _ in range(6)]
    finally:
        redis_server.start()

    assert statuses == [200] + [401] * 5 + [429]


def test_a_frozen_redis_costs_a_moment_and_nothing_else(committed, client, redis_server, frozen, impatient):
    factories.user(username="alice", password=PASSWORD)
    _log_in(client, "alice")  # so that there is a connection to hang on
    with frozen(redis_server.pid):
        start = time.monotonic()
        statuses = [_log_in(client, "alice").status_code]
        first = time.monotonic() - start
        statuses += [_log_in(client, "alice", "wrong").status_code for _ in range(6)]

    assert statuses == [200] + [401] * 5 + [429]
    assert first < 3


@pytest.mark.usefixtures("real_passwords")
def test_redis_freezing_between_the_count_and_its_taking_back_is_no_error(
    committed, client, redis_server, frozen, impatient
):
    name = factories.user(password=PASSWORD).username
    answers = []
    thread = threading.Thread(target=lambda: answers.append(_log_in(client, name)))
    with redis.Redis.from_url(redis_server.url()) as connection:
        thread.start()
        while not connection.keys():
            time.sleep(0.001)
    with frozen(redis_server.pid):
        thread.join()

    assert answers[0].status_code == 200


@pytest.mark.usefixtures("real_passwords")
def test_a_sign_in_that_lost_its_user_meanwhile_is_refused(committed, client):
    user = factories.user(password=PASSWORD)
    name = user.username
    answers = []
    thread = threading.Thread(target=lambda: answers.append(_log_in(client, name)))

    thread.start()
    time.sleep(0.1)
    committed.delete(committed.get(User, user.id))
    committed.commit()
    thread.join()

    assert answers[0].status_code == 401
