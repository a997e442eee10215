"""A request's line in the log: what it has, and what it never has."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest

from shared_accounts.logs import JsonLines
from tests import factories

CANARY = "zqxcanary"


@pytest.fixture
def lines(caplog):
    """The lines of requests so far, by field."""
    caplog.set_level(logging.INFO, logger="shared_accounts.access")
    return lambda: [vars(record) for record in caplog.records if record.name == "shared_accounts.access"]


def test_a_management_request_leaves_who_what_and_how_long(client, sign_in, lines):
    user = factories.user()

    answer = sign_in(user).get("/api/auth/me")

    (line,) = lines()
    assert line["msg"] == "request answered"
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/auth/me", 200)
    assert (line["user_id"], line["address"]) == (user.id, "127.0.0.1")
    assert line["ms"] > 0


def test_the_route_stands_there_and_never_what_the_client_put_into_its_address(member, lines):
    member.get(f"/api/accounts/7?{CANARY}={CANARY}", headers={"Referer": CANARY, "User-Agent": CANARY})
    member.get(f"/{CANARY}/{CANARY}")
    member.open("/api/accounts", method=CANARY.upper())
    member.post("/api/accounts", json={CANARY: CANARY})

    assert [(line["route"], line["status"]) for line in lines()] == [
        ("/api/accounts/<int:account_id>", 404),
        (None, 404),
        (None, 405),
        ("/api/accounts", 422),
    ]
    written = "".join(JsonLines().format(logging.makeLogRecord(line)) for line in lines())
    assert not re.search(CANARY, written, re.IGNORECASE)


def test_a_body_that_is_too_large_leaves_a_line_with_its_id_too(member, with_settings, lines):
    with with_settings(max_management_body_bytes=10):
        answer = member.post("/api/accounts", json={"name": "longer than ten"})

    (line,) = lines()
    assert (line["status"], line["request_id"]) == (413, answer.headers["x-request-id"])


def test_health_checks_and_models_leave_none_but_a_refusal_does(client, lines):
    client.get("/livez")
    client.get("/metrics")
    assert lines() == []

    client.get("/v1/models")

    assert [(line["route"], line["status"]) for line in lines()] == [("/v1/models", 401)]


@pytest.mark.parametrize(
    "secret",
    ["sk-" + "a" * 64, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "postgresql://user:hunter2hunter2@host/db"],
)
@pytest.mark.parametrize("odd", [None, 2**70, "\ud800"])
def test_whatever_looks_like_a_secret_is_blacked_out_whatever_stands_beside_it(secret, odd):
    record = logging.makeLogRecord({"msg": f"said {secret}", "fact": {"deep": [secret]}, "odd": odd})

    written = JsonLines().format(record)

    line = json.loads(written)
    assert (line["odd"], "\n" in written) == (odd, False)
    assert secret not in written
    assert "hunter2" not in written


def test_an_exception_stands_in_one_line_without_its_secrets():
    try:
        int("first\nsk-" + "b" * 40)
    except ValueError:
        record = logging.makeLogRecord({"msg": "a mistake", "exc_info": sys.exc_info()})

    line = JsonLines().format(record)

    assert "\n" not in line
    assert "[secret]" in json.loads(line)["trace"]
