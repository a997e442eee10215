"""Keeping tokens fresh: a refresh token is used once, a blip is no verdict, and a withdrawn consent is one."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from shared_accounts import tasks
from shared_accounts.accounts import contribution, refresher, upstream_oauth, withdrawal
from shared_accounts.accounts.models import Account
from shared_accounts.accounts.refresher import Outcome, Refresher
from shared_accounts.extensions import db, statements
from shared_accounts.quotas import proof
from tests import factories
from tests.accounts.oauth_server import OAuthServer, html, invalid_grant, stalls
from tests.conftest import rows
from tests.upstream import says


@pytest.fixture
def server():
    made = OAuthServer()
    yield made
    made.stop()


@pytest.fixture
def vault(app):
    return app.extensions["vault"]


@pytest.fixture
def here(app, committed, server, vault, with_settings):
    """The provider set up, and a refresher that is less patient than in production."""
    with with_settings(upstream_oauth_providers=(server.provider(),)):
        yield Refresher((server.provider(),), vault, seconds=0.5)


def given(server, vault, app, *, ends_in=300.0, state="active", **offered):
    """A shared account as its owner brought it, whose token ends in so many seconds; returns its id."""
    consent = server._tokens(f"consent-{len(server.consents)}")  # noqa: SLF001
    tokens = upstream_oauth.Tokens("acme", consent["access_token"], consent["refresh_token"], ends_in, None)
    offer = contribution.Offer(
        name="Acme",
        base_url=server.url,
        target=app.extensions["guard"].parse(server.url),
        credential=tokens.access_token,
        **{"sharing": "shared", "models": ["m"], **offered},
        allowance_tokens=1_000_000,
        window_hours=5,
        max_concurrency=None,
        tokens=tokens,
    )
    account = contribution.contribute(factories.user().id, offer, vault=vault, settings=app.extensions["settings"])
    account.state = state
    db.session.commit()
    return account.id


@pytest.fixture
def account_id(here, server, vault, app):
    return given(server, vault, app)


def run(of):
    """What the task does; returns the outcomes."""
    outcomes = []
    for outcome in of.refresh_due():
        db.session.commit()
        outcomes.append(outcome)
    return outcomes


def row_of(account_id):
    db.session.rollback()
    return next(row for row in rows("accounts") if row["id"] == account_id)


def credential_of(vault, account_id):
    return vault.unseal(bytes(row_of(account_id)["sealed_credential"]), purpose=f"account:{account_id}")


def refresh_token_of(vault, account_id):
    return vault.unseal(bytes(row_of(account_id)["sealed_refresh_token"]), purpose=f"refresh:{account_id}")


def seconds_left(account_id):
    left = func.extract("epoch", Account.credential_expires_at - func.now())
    return db.session.scalar(select(left).where(Account.id == account_id))


def at_once(app, count, act):
    """Let so many threads do the same at the same moment; returns what each got."""
    together = threading.Barrier(count)

    def one(_):
        with app.app_context():
            together.wait()
            try:
                return act()
            finally:
                db.session.remove()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def test_what_ends_soon_is_refreshed_and_the_rotated_token_kept(here, account_id, vault, server):
    before = credential_of(vault, account_id), refresh_token_of(vault, account_id)

    assert run(here) == [Outcome.FRESH]

    after = credential_of(vault, account_id), refresh_token_of(vault, account_id)
    assert set(before).isdisjoint(after)
    assert after[0] in server.accepted
    assert 3500 < seconds_left(account_id) <= 3600
    assert (row_of(account_id)["state"], len(server.forms)) == ("active", 1)
    assert server.forms[0] == {"grant_type": "refresh_token", "refresh_token": before[1], "client_id": "our-client"}


def test_a_chain_of_refreshes_never_uses_a_token_twice(here, account_id, vault, server):
    for _ in range(4):
        server.lasts = 60
        assert run(here) == [Outcome.FRESH]

    assert server.ended == set()
    assert len({form["refresh_token"] for form in server.forms}) == 4


def test_a_refresh_token_that_does_not_rotate_is_kept(here, account_id, vault, server):
    server.rotates = False
    server.tokens["refresh_token"] = None
    kept = refresh_token_of(vault, account_id)

    assert run(here) == [Outcome.FRESH]

    assert refresh_token_of(vault, account_id) == kept
    assert credential_of(vault, account_id) in server.accepted


@pytest.mark.parametrize("said", [None, "soon", -1, [], True])
def test_tokens_are_kept_whatever_is_said_of_their_life(here, account_id, vault, server, said):
    server.tokens["expires_in"] = said

    assert run(here) == [Outcome.FRESH]

    assert refresh_token_of(vault, account_id) not in server.spent


def test_what_lasts_is_left_alone(here, server, vault, app):
    given(server, vault, app, ends_in=700)

    assert run(here) == []
    assert server.forms == []


def test_what_never_ends_is_left_alone(here, server, vault, app):
    given(server, vault, app, ends_in=None)

    assert run(here) == []


def test_what_ended_long_ago_is_refreshed_all_the_same(here, server, vault, app):
    account_id = given(server, vault, app, ends_in=-300)

    assert run(here) == [Outcome.FRESH]
    assert seconds_left(account_id) > 3500


@pytest.mark.parametrize(
    ("state", "outcomes"),
    [
        ("paused", [Outcome.FRESH]),
        ("broken", [Outcome.FRESH]),
        ("needs_sign_in", [Outcome.FRESH]),
        ("disabled", []),
    ],
)
def test_accounts_that_may_come_back_are_kept_fresh_and_stay_as_they_are(here, server, vault, app, state, outcomes):
    account_id = given(server, vault, app, state=state)

    assert run(here) == outcomes
    assert row_of(account_id)["state"] == state


def test_a_second_run_finds_nothing_to_do(here, account_id, server):
    assert run(here) == [Outcome.FRESH]
    before = row_of(account_id)

    assert run(here) == []
    assert (row_of(account_id), len(server.forms)) == (before, 1)


def test_two_at_once_use_a_refresh_token_once(here, account_id, app, server, vault):
    server.delay = 0.2

    outcomes = at_once(app, 6, lambda: run(here))

    assert [Outcome.FRESH] in outcomes
    assert (len(server.forms), server.ended) == (1, set())
    assert credential_of(vault, account_id) in server.accepted


def test_many_runs_beside_each_other_use_many_refresh_tokens_once_each(here, app, server, vault):
    ids = [given(server, vault, app) for _ in range(8)]
    server.delay = 0.02

    at_once(app, 4, lambda: run(here))

    assert len(server.forms) == len({form["refresh_token"] for form in server.forms}) == len(ids)
    assert server.ended == set()
    assert {credential_of(vault, one) for one in ids} <= set(server.accepted)


def test_one_process_cannot_refresh_while_another_is_at_it(here, account_id, app, server):
    server.delay = 0.3

    with ThreadPoolExecutor(1) as other:
        first = other.submit(at_once, app, 1, lambda: run(here))
        server.wait_for(1)
        assert run(here) == []
        db.session.rollback()
        assert first.result() == [[Outcome.FRESH]]
    assert len(server.forms) == 1


BLIPS = {
    "an error of its": says(b'{"error": "invalid_grant"}', status=500),
    "an error without words": says(b"", status=502),
    "a page": html,
    "a page with status 200": says(b"<h1>Welcome to the hotel</h1>", headers=[("content-type", "text/html")]),
    "a redirect": says(b"", status=302, headers=[("location", "http://127.0.0.1:1/")]),
    "silence": stalls,
    "no token": says(b"{}"),
    "a limit": says(b'{"error": "slow_down"}', status=429),
    "a wrong client": says(b'{"error": "invalid_client"}', status=401),
    "a refusal that is a list": says(b'["invalid_grant"]', status=400),
    "a refusal of another shape": says(b'{"error": {"code": "invalid_grant"}}', status=400),
}


@pytest.mark.parametrize("act", BLIPS.values(), ids=BLIPS)
def test_a_blip_changes_nothing_and_the_next_run_succeeds(here, account_id, server, act):
    before = row_of(account_id)
    server.routes["/token"] = act

    (outcome,) = run(here)
    assert not outcome
    assert not outcome.is_verdict
    assert row_of(account_id) == before
    assert [row["refill_per_hour"] for row in rows("quota_pools")] == [400_000]

    server.routes.clear()
    assert run(here) == [Outcome.FRESH]


def test_a_provider_that_is_gone_changes_nothing(here, account_id, server):
    before = row_of(account_id)
    server.stop()

    assert run(here) == [Outcome.AWAY]
    assert row_of(account_id) == before


def test_a_provider_that_does_not_answer_is_asked_once_a_run(here, app, server, vault):
    for _ in range(5):
        given(server, vault, app)
    server.routes["/token"] = stalls
    began = time.monotonic()

    assert run(here) == [Outcome.AWAY]
    assert time.monotonic() - began < 2


def test_one_that_fails_does_not_hold_up_the_others(here, app, server, vault):
    first, second, third = (given(server, vault, app) for _ in range(3))
    db.session.execute(text(f"update accounts set oauth_provider = 'gone' where id = {first}"))
    db.session.execute(text(f"update accounts set sealed_refresh_token = 'x' where id = {second}"))
    db.session.commit()

    assert sorted(outcome.value for outcome in run(here)) == ["fresh", "unclear", "unclear"]
    assert seconds_left(third) > 3500


def test_a_withdrawn_consent_takes_the_account_out_and_its_refill_rests(here, account_id, server):
    server.end()

    assert run(here) == [Outcome.REFUSED]

    row = row_of(account_id)
    assert (row["state"], row["sealed_refresh_token"]) == ("needs_sign_in", None)
    assert [pool["refill_per_hour"] for pool in rows("quota_pools")] == [0]
    assert proof.verify() == []
    assert (run(here), len(server.forms)) == ([], 1)


@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_providers_differ_in_the_status_of_that_verdict(here, account_id, server, status):
    server.routes["/token"] = says(b'{"error": "invalid_grant"}', status=status)

    assert run(here) == [Outcome.REFUSED]


def test_a_paused_account_stays_paused_when_its_consent_is_withdrawn(here, server, vault, app):
    account_id = given(server, vault, app, state="paused")
    server.end()

    assert run(here) == [Outcome.REFUSED]
    assert (row_of(account_id)["state"], row_of(account_id)["sealed_refresh_token"]) == ("paused", None)


@pytest.mark.parametrize("act", [None, invalid_grant], ids=["fresh tokens", "a verdict"])
def test_a_new_consent_meanwhile_is_not_overwritten(here, account_id, app, server, vault, act):
    consent = server._tokens("anew")  # noqa: SLF001
    anew = upstream_oauth.Tokens("acme", consent["access_token"], consent["refresh_token"], 3600, None)
    server.delay = 0.3
    if act:
        server.routes["/token"] = lambda turn: turn.wait(0.3) or act(turn)

    with ThreadPoolExecutor(1) as other:
        running = other.submit(at_once, app, 1, lambda: run(here))
        server.wait_for(1)
        account = db.session.get(Account, account_id)
        upstream_oauth.renew(account, anew, app.extensions["guard"].parse(server.url), vault)
        db.session.commit()
        assert running.result() == [[Outcome.FRESH]]

    assert (credential_of(vault, account_id), refresh_token_of(vault, account_id)) == (
        anew.access_token,
        anew.refresh_token,
    )
    assert row_of(account_id)["state"] == "active"


def test_an_account_withdrawn_meanwhile_gets_no_tokens(here, account_id, app, server):
    server.delay = 0.3

    with ThreadPoolExecutor(1) as other:
        running = other.submit(at_once, app, 1, lambda: run(here))
        server.wait_for(1)
        withdrawal.withdraw(db.session.get(Account, account_id))
        db.session.commit()
        running.result()

    row = row_of(account_id)
    assert (row["state"], row["sealed_credential"], row["sealed_refresh_token"]) == ("withdrawn", None, None)


def test_no_row_is_locked_while_the_token_endpoint_takes_its_time(here, account_id, app, server):
    server.delay = 0.4

    with ThreadPoolExecutor(1) as other:
        running = other.submit(at_once, app, 1, lambda: run(here))
        server.wait_for(1)
        db.session.execute(text("set local lock_timeout = 50"))
        db.session.execute(text("update accounts set strikes = 1, name = 'changed'"))
        db.session.commit()
        running.result()

    assert (row_of(account_id)["name"], row_of(account_id)["strikes"]) == ("changed", 1)


def test_fresh_tokens_are_kept_even_if_the_caller_fails_to_commit(here, account_id, server, vault):
    for _ in here.refresh_due():
        db.session.rollback()

    assert credential_of(vault, account_id) in server.accepted
    assert refresh_token_of(vault, account_id) not in server.spent


def test_the_later_the_seldomer_but_at_least_every_eight_minutes(committed, server, vault, app):
    account_id = given(server, vault, app)

    def tried(minutes):
        db.session.execute(
            text(
                f"update accounts set credential_expires_at = now() + make_interval(secs => 600 - {60 * minutes} - 30)"
            )
        )
        return bool(db.session.execute(refresher._DUE).all())  # noqa: SLF001

    tries = [minute for minute in range(200) if tried(minute)]

    gaps = [after - before for before, after in pairwise(tries)]
    assert tries[0] == 0
    assert gaps[:15] == [1] * 15
    assert max(gaps) == 8
    assert gaps[-5:] == [8] * 5
    assert account_id


def test_a_refused_credential_is_replaced_at_once(here, server, vault, app):
    account_id = given(server, vault, app, ends_in=3600)
    refused = credential_of(vault, account_id)

    outcome = here.refresh_now(account_id, refused=refused)
    db.session.commit()

    assert outcome is Outcome.FRESH
    assert outcome
    assert credential_of(vault, account_id) != refused


def test_a_credential_replaced_already_is_not_replaced_again(here, account_id, server, vault):
    assert here.refresh_now(account_id, refused="an older one") is Outcome.FRESH
    assert server.forms == []


def test_many_who_meet_the_same_refusal_share_one_refresh(here, account_id, app, server, vault):
    refused = credential_of(vault, account_id)
    server.delay = 0.3

    def meet():
        outcome = here.refresh_now(account_id, refused=refused)
        db.session.commit()
        return outcome

    assert at_once(app, 8, meet) == [Outcome.FRESH] * 8
    assert (len(server.forms), server.ended) == (1, set())


def test_a_refusal_beside_the_task_shares_its_refresh(here, account_id, app, server, vault):
    refused = credential_of(vault, account_id)
    server.delay = 0.3

    with ThreadPoolExecutor(1) as other:
        running = other.submit(at_once, app, 1, lambda: run(here))
        server.wait_for(1)
        assert here.refresh_now(account_id, refused=refused)
        db.session.commit()
        assert running.result() == [[Outcome.FRESH]]
    assert len(server.forms) == 1


def test_without_a_refresh_token_there_is_no_hope(here, committed):
    account = factories.account(factories.user(), secret="sk-a-key-that-was-pasted-in")

    outcome = here.refresh_now(account.id, refused="sk-a-key-that-was-pasted-in")

    assert outcome is Outcome.HOPELESS
    assert outcome.is_verdict
    assert not outcome
    assert here.refresh_now(account.id + 1, refused="x") is Outcome.HOPELESS


def test_upon_a_refusal_too_a_blip_is_no_verdict(here, account_id, server, vault):
    server.routes["/token"] = stalls
    before = row_of(account_id)

    outcome = here.refresh_now(account_id, refused=credential_of(vault, account_id))
    db.session.commit()

    assert (outcome, outcome.is_verdict) == (Outcome.AWAY, False)
    assert row_of(account_id) == before


def test_upon_a_refusal_too_a_withdrawn_consent_is_one(here, account_id, server, vault):
    server.end()

    assert here.refresh_now(account_id, refused=credential_of(vault, account_id)) is Outcome.REFUSED
    db.session.commit()

    assert row_of(account_id)["state"] == "needs_sign_in"


def test_who_waits_too_long_for_another_gives_up_without_a_connection(here, account_id, app, vault, monkeypatch):
    monkeypatch.setattr(refresher, "_PATIENCE_SECONDS", 0.5)
    refused = credential_of(vault, account_id)
    with db.engine.connect() as holder, holder.begin():
        holder.execute(select(func.pg_advisory_xact_lock(refresher._LOCKS + account_id)))  # noqa: SLF001

        assert here.refresh_now(account_id, refused=refused) is Outcome.AWAY
        assert not db.session().in_transaction()


def test_the_task_does_it_twice_late_and_beside_itself(here, account_id, app, server, vault):
    server.delay = 0.1

    at_once(app, 4, tasks.refresh_upstream_tokens)
    tasks.refresh_upstream_tokens()

    assert (len(server.forms), server.ended) == (1, set())
    assert credential_of(vault, account_id) in server.accepted


def test_the_task_is_due_every_minute():
    assert tasks.TIMETABLE["refresh upstream tokens"]["schedule"] <= 60


def test_nothing_secret_is_stored_in_the_clear_or_logged(here, account_id, server, vault, caplog):
    with caplog.at_level(logging.DEBUG):
        run(here)
        server.routes["/token"] = says(b'{"error": "rt-echo", "error_description": "rt-echo"}', status=400)
        here.refresh_now(account_id, refused=credential_of(vault, account_id))
        server.routes.clear()
        server.end()
        here.refresh_now(account_id, refused=credential_of(vault, account_id))
        db.session.commit()

    ours = [record for record in caplog.records if record.name.startswith("shared_accounts")]
    logged = "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)
    stored = str([rows(table) for table in ("accounts", "account_events", "audit_log", "ledger_entries")])
    assert [record.outcome for record in ours if hasattr(record, "outcome")] == ["fresh", "unclear", "refused"]
    for secret in (*server.accepted, *server.consents, "rt-echo"):
        assert secret not in logged + stored


def test_fresh_tokens_are_kept_even_if_the_lock_is_lost_during_the_call(here, account_id, app, server, vault):
    server.delay = 0.3

    with ThreadPoolExecutor(1) as other:
        running = other.submit(at_once, app, 1, lambda: run(here))
        server.wait_for(1)
        holder = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = (select oid"
        db.session.execute(text(f"{holder} from pg_database where datname = current_database())"))
        with pytest.raises(OperationalError):
            running.result()

    assert credential_of(vault, account_id) in server.accepted
    assert refresh_token_of(vault, account_id) not in server.spent


def test_tokens_that_cannot_be_stored_are_cried_out(here, account_id, caplog, settings):
    statements.bind("postgresql+psycopg2://nobody@127.0.0.1:1/none", size=1, timeout_ms=100)

    with caplog.at_level(logging.CRITICAL):
        assert run(here) == [Outcome.UNCLEAR]

    (record,) = (record for record in caplog.records if record.levelname == "CRITICAL")
    assert record.account_id == account_id
