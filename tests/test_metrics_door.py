"""Who may read `/metrics`, and what stands there."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from werkzeug.middleware.proxy_fix import ProxyFix

from shared_accounts.config import ConfigurationError, load
from shared_accounts.extensions import db
from shared_accounts.gateway import report
from shared_accounts.gateway.attempts import new_id
from shared_accounts.gateway.books import Closing, Opening
from shared_accounts.metrics import catalogue
from shared_accounts.quotas.pricing import Rule, Tokens
from shared_accounts.users.roster import Caller
from tests import factories

TOKENS = ("0q8fJ2mWc5Ls7RyTz4Kd1Pb9Hg6Nf3Ua", "Zr5xV8nQk2Ht6JwBy9Mc4Gd7Fp1Ls3Ea")


def read(client, **options):
    answer = client.get("/metrics", **options)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return samples(answer.text)


def samples(written):
    """Every sample by its name and its labels' values, in the order of the labels' names."""
    families = text_string_to_metric_families(written)
    return {
        (
            sample.name.removeprefix("shared_accounts_"),
            *[sample.labels[label] for label in sorted(sample.labels)],
        ): sample.value
        for family in families
        for sample in family.samples
    }


def bearer(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


def from_address(address):
    return {"environ_base": {"REMOTE_ADDR": address}}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_programs_on_this_machine_may_read(client, address):
    assert read(client, **from_address(address))


@pytest.mark.parametrize("address", ["203.0.113.9", "10.0.0.1", "::ffff:10.0.0.1", "", "unix"])
def test_without_a_token_nobody_elsewhere_may(client, address):
    answer = client.get("/metrics", **from_address(address))

    assert answer.status_code == 403
    assert answer.json["error_code"] == "PERMISSION_DENIED"


@pytest.mark.parametrize("hop", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
def test_a_proxy_on_this_machine_speaks_for_somebody_else(client, hop):
    assert client.get("/metrics", headers={hop: "127.0.0.1"}).status_code == 403


def test_a_proxys_word_makes_nobody_local(app, client, monkeypatch):
    monkeypatch.setattr(app, "wsgi_app", ProxyFix(app.wsgi_app, x_for=1))

    answer = client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}, **from_address("203.0.113.9"))

    assert answer.status_code == 403


def test_with_tokens_each_of_them_opens_from_anywhere(client, with_settings):
    with with_settings(metrics_token=TOKENS):
        for token in TOKENS:
            assert read(client, **bearer(token), **from_address("203.0.113.9"))


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", f"Basic {TOKENS[0]}", "Bearer nonsense", "Bearer \xff", f"Bearer {TOKENS[0]}x"],
)
def test_with_tokens_nothing_else_opens_not_even_on_this_machine(client, with_settings, header):
    with with_settings(metrics_token=TOKENS):
        answer = client.get("/metrics", headers={} if header is None else {"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_guessable_token_is_refused_at_the_start(environment):
    with pytest.raises(ConfigurationError, match="METRICS_TOKEN is a weak"):
        load({**environment, "APP_ENV": "production", "METRICS_TOKEN": f"{TOKENS[0]},metrics"})


def an_opening(**facts):
    caller = Caller(7, "active", False, False, 8, b"", None)
    fixed = {
        "id": new_id(),
        "caller": caller,
        "model": "m",
        "rule": Rule("m", "m", 1_000_000),
        "estimate": 1,
        "endpoint": "/v1/chat/completions",
        "stream": True,
        "worker": "here:1",
        "lease_seconds": 60,
    }
    return Opening(**{**fixed, **facts})


def what_changed(client, act):
    before = read(client)
    act()
    after = read(client)
    changed = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    return {name: value for name, value in changed.items() if not name[0].startswith(("responses", "job"))}


def test_an_exchange_is_counted_by_how_it_ended_how_long_it_took_and_what_was_tried(client):
    attempts = [{"account_id": 1, "result": "answered 429", "ms": 5}, {"account_id": 2, "result": "served", "ms": 30}]
    closing = Closing("served", "measured", attempts=attempts, first_byte_ms=40, total_ms=1500)

    changed = what_changed(client, lambda: report.closed(an_opening(), closing))

    buckets = {name: value for name, value in changed.items() if name[0].endswith("_bucket")}
    assert {name: value for name, value in changed.items() if name not in buckets} == pytest.approx(
        {
            ("exchanges_total", "measured", "/v1/chat/completions", "served", "true"): 1,
            ("attempts_total", "answered 429"): 1,
            ("attempts_total", "served"): 1,
            ("first_byte_seconds_count", "true"): 1,
            ("first_byte_seconds_sum", "true"): 0.04,
            ("exchange_seconds_count", "true"): 1,
            ("exchange_seconds_sum", "true"): 1.5,
        }
    )
    assert ("first_byte_seconds_bucket", "0.025", "true") not in buckets
    assert buckets["first_byte_seconds_bucket", "0.05", "true"] == 1
    assert ("exchange_seconds_bucket", "1.0", "true") not in buckets
    assert buckets["exchange_seconds_bucket", "2.5", "true"] == 1


def test_words_from_outside_become_no_labels(client):
    opening = an_opening(endpoint="/v1/sk-a-path", stream=False, model="sk-a-model")
    closing = Closing("an outcome to come", "released", attempts=[{"account_id": 1, "result": "answered 799", "ms": 1}])

    changed = what_changed(client, lambda: report.closed(opening, closing))

    assert changed == {("exchanges_total", "released", "other", "other", "false"): 1, ("attempts_total", "other"): 1}


def test_every_way_an_exchange_is_billed_here_has_a_label():
    from shared_accounts.usage.models import BASES, OUTCOMES

    (outcomes, bases, _, _) = catalogue.EXCHANGES._values  # noqa: SLF001

    assert set(OUTCOMES) - outcomes == {"abandoned"}  # it is the worker of Celery that closes those
    assert set(BASES) <= bases


def test_every_door_of_the_gateway_has_a_label(app):
    gateway = ("v1.", "passthrough.", "generate.")
    posts = [rule for rule in app.url_map.iter_rules() if "POST" in rule.methods]
    doors = {rule.rule for rule in posts if rule.endpoint.startswith(gateway)}

    assert doors - {"/v1/messages/count_tokens"} <= catalogue.EXCHANGES._values[2]  # noqa: SLF001


def test_what_is_set_aside_is_shown_in_units(client, committed):
    pool = factories.quota_pool(factories.user(), balance=5_000_000)
    committed.execute(
        text(
            "insert into reservations (id, pool_id, amount, state) values"
            " (gen_random_uuid(), :pool, 1500000, 'open'), (gen_random_uuid(), :pool, 9, 'settled')"
        ),
        {"pool": pool.id},
    )
    committed.commit()

    found = read(client)

    assert (found["open_reservations",], found["reserved_units",]) == (1, 1.5)


def test_redis_tells_how_much_work_waits(client, redis_server):
    import redis

    with redis.Redis.from_url(redis_server.url()) as connection:
        connection.rpush("celery", "one", "two")
        connection.hset("unacked", "tag", "three")

        found = read(client)

    assert (found["queue_messages", "celery", "waiting"], found["queue_messages", "celery", "taken"]) == (2, 1)
    assert (found["up", "postgresql"], found["up", "redis"]) == (1, 1)


@contextmanager
def a_pool_with_nothing_left():
    taken = [db.engine.connect() for _ in range(db.engine.pool.size() + db.engine.pool._max_overflow)]  # noqa: SLF001
    try:
        yield
    finally:
        for connection in taken:
            connection.close()


def test_without_redis_the_rest_is_shown(client, with_settings):
    with with_settings(redis_url="redis://127.0.0.1:1/0"):
        found = read(client)

    assert (found["up", "postgresql"], found["up", "redis"]) == (1, 0)
    assert not [name for name in found if name[0] == "queue_messages"]


def test_when_the_database_has_no_connection_left_the_rest_is_shown(client, committed):
    committed.remove()
    with a_pool_with_nothing_left():
        found = read(client)

    assert (found["up", "postgresql"], found["up", "redis"]) == (0, 1)
    assert not [name for name in found if name[0] == "open_reservations"]
    assert read(client)["up", "postgresql"] == 1


def test_tables_of_an_older_release_are_no_failure(client, session):
    session.execute(text("drop table job_runs"))

    assert read(client)["up", "postgresql"] == 0


def test_reading_takes_less_than_a_tenth_of_a_second_of_our_time(client, committed):
    read(client)
    quickest = min(_seconds(client) for _ in range(10))

    assert quickest < 0.1


def _seconds(client):
    started = time.process_time()
    read(client)
    return time.process_time() - started


def test_a_line_for_an_exchange_has_ids_and_sums(caplog):
    opening = an_opening()
    closing = Closing(
        "served",
        "measured",
        http_status=200,
        tokens=Tokens(100, 50, 10),
        attempts=[{"account_id": 2, "result": "served", "ms": 3}],
        first_byte_ms=4,
        total_ms=5,
    )

    with caplog.at_level("INFO", logger="shared_accounts.gateway.report"):
        report.closed(opening, closing)

    (line,) = caplog.records
    assert line.getMessage() == "exchange closed"
    assert {
        name: getattr(line, name) for name in ("user_id", "api_key_id", "account_id", "attempts", "model", "status")
    } == {
        "user_id": 7,
        "api_key_id": 8,
        "account_id": 2,
        "attempts": 1,
        "model": "m",
        "status": 200,
    }
    assert (line.prompt_tokens, line.completion_tokens, line.cached_tokens, line.ms) == (100, 50, 10, 5)
    assert line.exchange_id == opening.id
