"""When an upstream says it will serve again, in all the ways that it may be said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shared_accounts.gateway import hints

# Two hours hence when this file is read; a little less when a test is run.
NOW = datetime.now(UTC)
DATE = format_datetime(NOW + timedelta(hours=2), usegmt=True)
STAMP = (NOW + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
UNIX = str(int((NOW + timedelta(hours=2)).timestamp()))


def header(**said):
    given = {name.replace("_", "-"): value for name, value in said.items()}
    return given.get


SAID = {
    "seconds": ({"retry_after": "7"}, 7),
    "parts of seconds": ({"retry_after": "2.5"}, 2.5),
    "milliseconds": ({"retry_after_ms": "2500", "retry_after": "9"}, 2.5),
    "a date": ({"retry_after": DATE}, 7200),
    "too short": ({"retry_after": "0"}, 1),
    "too long": ({"retry_after": "9999999"}, 86400),
    "absurdly long": ({"retry_after": "9" * 400}, 86400),
    "in the past": ({"retry_after": format_datetime(NOW - timedelta(hours=1), usegmt=True)}, 1),
    "openai": ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "6m0s"}, 360),
    "openai, tokens, milliseconds": ({"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "1500ms"}, 1.5),
    "openai, hours": ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "1h2m3.5s"}, 3723.5),
    "the longer of two": (
        {
            "x_ratelimit_remaining_requests": "0",
            "x_ratelimit_reset_requests": "20s",
            "x_ratelimit_remaining_tokens": "0",
            "x_ratelimit_reset_tokens": "90s",
        },
        90,
    ),
    "what has something left does not count": (
        {
            "x_ratelimit_remaining_requests": "0",
            "x_ratelimit_reset_requests": "20s",
            "x_ratelimit_remaining_tokens": "100",
            "x_ratelimit_reset_tokens": "90s",
        },
        20,
    ),
    "anthropic": ({"anthropic_ratelimit_tokens_remaining": "0", "anthropic_ratelimit_tokens_reset": STAMP}, 7200),
    "openrouter, milliseconds since 1970": ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": UNIX + "000"}, 7200),
    "seconds since 1970": ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": UNIX}, 7200),
    "the draft's": ({"ratelimit_remaining": "0", "ratelimit_reset": "45"}, 45),
    "the plain word comes first": ({"retry_after": "5", "x_ratelimit_reset_requests": "6m0s"}, 5),
}


@pytest.mark.parametrize("name", SAID)
def test_a_header_names_the_time(name):
    said, expected = SAID[name]

    assert hints.seconds(header(**said)) == pytest.approx(expected, abs=3600 if expected == 7200 else 0.001)


BODIES = {
    '{"error": {"details": [{"@type": "RetryInfo", "retryDelay": "34.07s"}]}}': 34.07,
    '{"error": {"details": [{"metadata": {"quotaResetDelay": "1h16m0.667923083s"}}]}}': 4560.667923083,
    '{"error": {"message": "Rate limit reached. Please try again in 1m12s. Visit ..."}}': 72,
    '{"error": {"message": "Please retry after 20s"}}': 20,
    '{"error": {"message": "try again in 350ms"}}': 1,
    '{"retryDelay": "5s", "quotaResetDelay": "30s"}': 30,
}


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_names_the_time(body):
    assert hints.seconds(header(), body) == pytest.approx(BODIES[body])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-5",
        "5 minutes",
        "1e9",
        "NaN",
        "inf",
        "\u0665",
        "12:30",
        "2026-13-45T00:00:00Z",
        "2026-11-22T10:00:00",
    ],
)
def test_a_time_that_is_none_is_no_time(value):
    assert hints.seconds(header(retry_after=value, x_ratelimit_reset=value), f"try again in {value}") is None


def test_only_the_beginning_of_a_body_is_looked_at():
    assert hints.seconds(header(), " " * 5000 + "try again in 20s") is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, None),
        ({"x_ratelimit_remaining_requests": "1", "x_ratelimit_reset_requests": "20s"}, None),
        ({"x_ratelimit_reset_requests": "20s"}, None),
        ({"x_ratelimit_remaining_requests": "0"}, None),
        ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "20s"}, 20),
        ({"retry_after": "20"}, None),
    ],
)
def test_whoever_serves_and_has_nothing_left_says_until_when(said, expected):
    names = [name.replace("_", "-") for name in said]
    assert hints.exhausted(header(**said), names) == expected
