"""For each task of the timetable a scene, by its name: what has been due for long beside what is not due.

What a scene returns asserts how all of it must stand in the end.
"""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import text

from shared_accounts.accounts import standing
from shared_accounts.alerts import preferences, raising
from shared_accounts.auth import tickets, tokens
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.gateway import books
from shared_accounts.usage import months
from tests import factories
from tests.accounts.oauth_server import OAuthServer
from tests.conftest import rows
from tests.quotas.sharing import caller_for, contributed, open_line, opening, pool_of
from tests.together import everything
from tests.upstream import Upstream, refuses, says
from tests.usage import divided
from tests.usage.conftest import the_time_it_is
from tests.usage.scene import HOUR, NOW, THIS_HOUR, line, roll_up

__all__ = ["the_time_it_is"]

WORKS = says(b'{"object": "list", "data": [{"id": "m"}]}')


def change(statement, **values):
    db.session.execute(text(statement), values)
    db.session.commit()


def states():
    return [row["state"] for row in rows("accounts order by id")]


@pytest.fixture
def start(app):
    """Start servers that end with the test."""
    started = []
    yield lambda server: started.append(server) or server
    app.extensions["wire"].sweep()
    for server in started:
        server.stop()


@pytest.fixture
def refill_quotas(committed):
    """Three hours and some minutes late."""
    for _ in range(10):
        factories.quota_pool(factories.user(), balance=0, refill_per_hour=400_000)
    change("update quota_pools set refilled_through = date_trunc('hour', now(), 'UTC') - interval '3 hours'")

    def check():
        assert {row["balance"] for row in rows("quota_pools")} == {1_200_000}
        assert [entry["amount"] for entry in rows("ledger_entries")] == [1_200_000] * 10

    return check


@pytest.fixture
def finish_draining(committed):
    """Of two owners four accounts each; on one of them an exchange is under way yet."""
    owners = [factories.user(), factories.user()]
    accounts = [contributed(owners[n % 2], f"key {n}", models=["m", "n"]) for n in range(8)]
    assert open_line(opening(caller_for(owners[0]), 1), accounts[0].id) == books.OPEN
    change("update accounts set state = 'draining'")

    def check():
        assert states() == ["draining"] + ["withdrawn"] * 7
        assert len([event for event in rows("account_events") if event["to_state"] == "withdrawn"]) == 7
        pools = [pool_of(owner, group) for owner in owners for group in ("m", "n")]
        assert [(pool.capacity, pool.balance) for pool in pools] == [(2 * MICRO, 2 * MICRO)] * 2 + [(0, 0)] * 2

    return check


@pytest.fixture
def probe_accounts(committed, start):
    """One is mended, one has lost its credential, one fails for ever, and one was asked a moment ago."""
    servers = [start(Upstream(act)) for act in (WORKS, refuses(401), refuses(500), WORKS)]
    given = [{"state": "broken"}, {}, {"strikes": 12}, {"state": "broken", "probed_at": factories.ago(minutes=1)}]
    for server, fields in zip(servers, given, strict=True):
        factories.account(factories.user(), base_url=server.url, created_at=factories.ago(days=9), **fields)

    def check():
        assert states() == ["active", "needs_sign_in", "broken", "broken"]
        assert len(rows("account_events")) == 3
        assert [len({request.path for request in server.requests}) for server in servers] == [1, 1, 1, 0]

    return check


@pytest.fixture
def recount_windows(committed):
    """What a worker had not written, or not all of it, when it died an hour ago; and a window that is right."""
    owner = factories.user()
    account, owner_id = factories.account(owner).id, owner.id
    for group, used in (("none", 0), ("wrong", 9_999), ("right", 500)):
        change(
            """insert into usage_log (id, user_id, account_id, contributor_id, model, model_group, endpoint, stream,
                worker, estimate, cost, lease_until, state, outcome, basis, opened_at, closed_at)
            values (gen_random_uuid(), :owner, :id, :owner, :group, :group, '/', false, 'gone', 500, 500, now(),
                'closed', 'served', 'measured', now() - interval '1 hour', now() - interval '1 hour')""",
            owner=owner_id, id=account, group=group,
        )  # fmt: skip
        window = "insert into account_windows values (:id, :group, :used, now() + interval '3 hours')"
        change(window, id=account, group=group, used=used)

    def check():
        found = {row["model_group"]: row["used"] for row in rows("account_windows")}
        assert found == {"none": 500, "wrong": 500, "right": 500}

    return check


@pytest.fixture
def close_abandoned_exchanges(committed):
    """Ten of two users whose worker died yesterday, and one whose worker lives."""
    account = contributed(factories.user())
    users = [factories.user(), factories.user()]
    for user in users:
        factories.quota_pool(user, balance=3 * MICRO)
    callers = [caller_for(user) for user in users]
    for number in range(10):
        assert open_line(opening(callers[number % 2], 300_000, lease_seconds=-86_400), account.id) == books.OPEN
    assert open_line(opening(callers[0], 300_000), account.id) == books.OPEN

    def check():
        lines = sorted((line["state"], line["charged"]) for line in rows("usage_log"))
        assert lines == [("closed", 300_000)] * 10 + [("open", 0)]
        pools = [pool_of(user) for user in users]
        assert [(pool.balance, pool.reserved) for pool in pools] == [(1_500_000, 300_000), (1_500_000, 0)]

    return check


@pytest.fixture
def refresh_upstream_tokens(app, committed, start, with_settings):
    """A token that ended two minutes ago; its refresh token's second use would end the consent."""
    server, vault = start(OAuthServer()), app.extensions["vault"]
    granted = server._tokens("consent")  # noqa: SLF001
    ended = {"oauth_provider": "acme", "credential_expires_at": factories.ago(minutes=2)}
    account = factories.account(factories.user(), secret=granted["access_token"], **ended)
    purpose = f"account:{account.id}"
    account.sealed_refresh_token = vault.seal(granted["refresh_token"], purpose=f"refresh:{account.id}")
    db.session.commit()

    def check():
        assert (len(server.forms), server.ended) == (1, set())
        credential = vault.unseal(bytes(rows("accounts")[0]["sealed_credential"]), purpose=purpose)
        assert credential in set(server.accepted) - {granted["access_token"]}

    with with_settings(upstream_oauth_providers=(server.provider(),)):
        yield check


@pytest.fixture
def regroup_accounts(committed):
    """Two models share an allowance now; the accounts that serve them still earn for each."""
    owners = [factories.user(), factories.user()]
    for number in range(4):
        contributed(owners[number % 2], f"key {number}", models=["m", "n"])
    change("insert into model_rules (model, model_group) values ('m', 'both'), ('n', 'both')")

    def check():
        for owner in owners:
            pools = [pool_of(owner, group) for group in ("m", "n", "both")]
            assert [(pool.capacity, pool.balance) for pool in pools] == [(0, 0), (0, 0), (4 * MICRO, 4 * MICRO)]

    return check


@pytest.fixture
def forget_what_is_over(app, committed):
    """Tickets that expired and sessions that ended long ago, beside some that are still good."""
    user, vault = factories.user(), app.extensions["vault"]
    kept, *_ = [tokens.issue(user).session_id for _ in range(9)]
    good, *_ = [tickets.issue(vault, "state", {}, seconds=seconds) for seconds in (600, *[-3600] * 8)]
    change("update sessions set revoked_at = now() - interval '40 days' where id <> :kept", kept=kept)

    def check():
        assert [row["id"] for row in rows("sessions")] == [kept]
        assert [row["kind"] for row in rows("tickets")] == ["state"]
        assert tickets.look_at(vault, "state", good) == {}

    return check


@pytest.fixture
def roll_up_usage(committed):
    """Hours nobody has counted, the last of them with a line that is open yet, and the hour that is not over."""
    for hours in (9, 9, 7, 5, 3):
        line(THIS_HOUR - hours * HOUR, charged=0)
    line(THIS_HOUR - 3 * HOUR, state="open")
    line(NOW, charged=0)

    def check():
        assert [row["calls"] for row in rows("usage_hours order by hour")] == [2, 1, 1]
        assert [row["calls"] for row in rows("usage_totals order by hour")] == [2, 1, 1]

    return check


@pytest.fixture
def turn_usage_months(committed, monkeypatch):
    """Two months ahead are missing, one of them has a line already; of two that are old enough one has an open line."""
    # It gives a lock up after a second and comes again in an hour; on a busy machine the gate opens later than that.
    monkeypatch.setattr(months, "_WAITS", text("set local lock_timeout = '30s'"))
    with divided.months(16, 15, 1, 0):
        ahead = [line(divided.month(-1) + HOUR, charged=0), line(divided.month(16), charged=0)]
        ahead += [line(divided.month(15), state="open"), line(THIS_HOUR, charged=0)]
        roll_up()

        def check():
            assert list(divided.parts()) == [divided.name(ago) for ago in (15, 1, 0, -1, -2)]
            assert rows("usage_log_default") == []
            assert [row["user_id"] for row in rows(divided.name(-1))] == [1]

        yield check


@pytest.fixture
def watch_for_alerts(committed):
    """Pools that are nearly empty and accounts that went out, of two owners who want mail; and those that are well."""
    owners = [factories.user(), factories.user()]
    for number, owner in enumerate(owners):
        factories.quota_pool(owner, balance=0, model_group="empty")
        factories.quota_pool(owner, model_group="full")
        standing.take_out(contributed(owner, f"key {number}").id, "broken", "a test")
    db.session.commit()

    def check():
        found = sorted((row["kind"], row["user_id"], row["over_at"]) for row in rows("alerts"))
        kinds = ("account_broken", "quota_low")
        assert found == sorted((kind, owner.id, None) for kind in kinds for owner in owners)

    return check


@pytest.fixture
def deliver_alerts(app, committed, start, with_settings):
    """Five letters that are due, one whose turn is later, and one that has arrived."""
    server = start(Upstream(says(b"{}")))
    owner = factories.user()
    with with_settings(webhook_allowed_hosts=("127.0.0.1",)):
        preferences.change(owner.id, {"webhook_url": server.url}, vault=app.extensions["vault"], allowed=("127.0.0.1",))
        for number in range(7):
            factories.quota_pool(owner, balance=0, model_group=f"g{number}")
        raising.watch(app.extensions["settings"])
        first, second = (row["id"] for row in rows("alerts order by id limit 2"))
        change("update alert_deliveries set due_at = now() + interval '1 hour' where alert_id = :id", id=first)
        change("update alert_deliveries set state = 'sent' where alert_id = :id", id=second)

        def check():
            assert len({request.header("webhook-id") for request in server.requests}) == len(server.requests) == 5
            states = sorted(row["state"] for row in rows("alert_deliveries"))
            assert states == ["due"] + ["sent"] * 6

        yield check


@pytest.fixture
def prove_ledger(committed, caplog):
    """Books that are right; a proof reads, and changes nothing."""
    contributed(factories.user())
    before = everything()
    caplog.set_level(logging.INFO, "shared_accounts.quotas.clock_api")

    def check():
        assert {record.getMessage() for record in caplog.records} == {"ledger proved"}
        assert everything() == before

    return check
