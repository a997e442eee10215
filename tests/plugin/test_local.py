"""Our own pool behind the Plug-in API's routes: what an owner does there is what she does here."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func

from shared_accounts.accounts import standing
from shared_accounts.accounts.models import AccountWindow
from shared_accounts.config import MICRO
from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from shared_accounts.quotas.models import LedgerEntry
from tests import factories
from tests.accounts.oauth_server import invalid_grant
from tests.conftest import rows
from tests.plugin.contract import API, SLASHED, call, local_world, refusal
from tests.plugin.provisioned import change, queued

__all__ = ["local_world"]


@pytest.fixture
def ada(local_world):
    return local_world.member()


@pytest.fixture
def shared(ada, local_world):
    """Her shared account, by its path; it serves m, n and org/o."""
    return f"{API}/accounts/{local_world.add(ada, is_shared=1)}"


def number(path):
    return int(path.rsplit("/", 1)[1])


def own(ada, path):
    """The same account at the door of our own pool."""
    return ada.get(f"/api/accounts/{number(path)}").json


def earned(ada):
    return {row["model_group"]: (row["balance"], row["capacity"]) for row in ada.get("/api/quotas").json}


def left(ada, path):
    return {row["model_name"]: (row["quota"], row["status"]) for row in ada.get(f"{path}/quotas").json["data"]}


def window(path, **about):
    db.session.rollback()
    fields = {"model_group": "m", "resets_at": func.now() + timedelta(hours=2), **about}
    db.session.add(AccountWindow(account_id=number(path), **fields))
    db.session.commit()


def test_a_paused_account_is_paused_and_its_refill_rests(ada, shared):
    ada.put(f"{shared}/status", json={"status": 0})
    assert own(ada, shared)["state"] == "paused"
    assert {row["refill_per_hour"] for row in ada.get("/api/quotas").json} == {"0.0000"}

    ada.put(f"{shared}/status", json={"status": 1})
    assert own(ada, shared)["state"] == "active"
    assert {row["refill_per_hour"] for row in ada.get("/api/quotas").json} == {"0.4000"}
    assert proof.verify() == []


def test_toggling_and_converting_mint_nothing(ada, shared):
    before = earned(ada)

    for path, body in [("status", "status"), ("type", "is_shared"), ("quotas/m/status", "status")] * 3:
        for value in (0, 1):
            assert ada.put(f"{shared}/{path}", json={body: value}).status_code == 200

    assert earned(ada) == before == dict.fromkeys(("m", "n", SLASHED), ("2.0000", "2.0000"))
    assert proof.verify() == []


def test_a_model_that_is_switched_off_is_served_no_more_and_earns_nothing(ada, shared):
    assert ada.put(f"{shared}/quotas/{SLASHED}/status", json={"status": 0}).status_code == 200

    assert own(ada, shared)["models"] == ["m", "n"]
    assert earned(ada)[SLASHED] == ("0.0000", "0.0000")
    assert SLASHED not in {one["id"] for one in ada.get("/v1/models").json["data"]}
    assert left(ada, shared) == {"m": ("1.0000", 1), "n": ("1.0000", 1), SLASHED: ("1.0000", 0)}

    ada.put(f"{shared}/quotas/{SLASHED}/status", json={"status": 1})
    assert own(ada, shared)["models"] == ["m", "n", SLASHED]
    assert earned(ada)[SLASHED] == ("2.0000", "2.0000")


def test_the_last_model_stays_on(ada, shared):
    for name in ("m", "n"):
        assert ada.put(f"{shared}/quotas/{name}/status", json={"status": 0}).status_code == 200

    answer = ada.put(f"{shared}/quotas/{SLASHED}/status", json={"status": 0})

    assert answer.status_code == 409
    assert "last model" in answer.json["detail"]
    assert own(ada, shared)["models"] == [SLASHED]


def test_two_who_switch_the_last_two_models_off_leave_one_on(ada, shared):
    ada.put(f"{shared}/quotas/{SLASHED}/status", json={"status": 0})
    start = threading.Barrier(2)

    def switch_off(name):
        start.wait()
        return ada.put(f"{shared}/quotas/{name}/status", json={"status": 0}).status_code

    with ThreadPoolExecutor(2) as threads:
        statuses = list(threads.map(switch_off, ("m", "n")))

    assert sorted(statuses) == [200, 409]
    assert len(own(ada, shared)["models"]) == 1
    assert proof.verify() == []


def test_what_is_used_of_a_window_is_missing_and_least_comes_first(ada, shared):
    window(shared, used=123_456)
    window(shared, used=MICRO, model_group="n", resets_at=func.now() - timedelta(minutes=1))
    window(shared, model_group=SLASHED, exhausted_until=func.now() + timedelta(hours=3))

    found = ada.get(f"{shared}/quotas").json["data"]

    assert [(row["model_name"], row["quota"]) for row in found] == [
        (SLASHED, "0.0000"),
        ("m", "0.8765"),
        ("n", "1.0000"),
    ]
    hours = [row["reset_time"] and datetime.fromisoformat(row["reset_time"]) - datetime.now(UTC) for row in found]
    assert timedelta(hours=2, minutes=50) < hours[0] < timedelta(hours=3, minutes=10)
    assert timedelta(hours=1, minutes=50) < hours[1] < timedelta(hours=2, minutes=10)
    assert hours[2] is None


def test_a_group_shares_its_window_and_its_reference_and_an_alias_is_nothing_of_its_own(ada, shared):
    db.session.rollback()
    change(
        "insert into model_rules (model, model_group, reference_tokens) values ('m', 'big', 2000000), ('n', 'big', 2000000)"
    )
    change(f"insert into model_rules (model, alias_of) values ('{SLASHED}', 'm')")
    window(shared, used=100_000, model_group="big")

    assert left(ada, shared) == {"m": ("0.8000", 1), "n": ("0.8000", 1)}


def test_the_shared_pool_counts_what_can_serve_now(ada, local_world, shared):
    others = [f"{API}/accounts/{local_world.add(ada, is_shared=1)}" for _ in range(4)]
    local_world.add(ada)
    window(shared, used=250_000)
    window(others[0], exhausted_until=func.now() + timedelta(hours=1), resets_at=func.now() - timedelta(hours=1))
    change("update accounts set cooling_until = now() + interval '1 hour' where id = :id", id=number(others[1]))
    ada.put(f"{others[2]}/status", json={"status": 0})
    ada.put(f"{others[3]}/quotas/m/status", json={"status": 0})

    found = {row["model_name"]: row for row in ada.get(f"{API}/quotas/shared-pool").json["data"]["quotas"]}

    assert (found["m"]["total_quota"], found["m"]["available_cookies"]) == ("1.7500", "1")
    assert (found["n"]["total_quota"], found["n"]["available_cookies"]) == ("4.0000", "3")
    first = datetime.fromisoformat(found["m"]["earliest_reset_time"]) - datetime.now(UTC)
    assert timedelta(minutes=50) < first < timedelta(minutes=70)
    assert found["n"]["earliest_reset_time"] is None


def test_a_call_on_somebody_elses_account_says_what_the_pool_held_before_and_after(ada, local_world, shared):
    eve = local_world.member()
    db.session.rollback()
    pool = factories.quota_pool(factories.user(), balance=3 * MICRO)
    change("update quota_pools set user_id = :eve where id = :id", eve=eve.user_id, id=pool.id)
    line = call(eve.user_id, account_id=number(shared), contributor_id=ada.user_id, cost=250_000)
    db.session.add(
        LedgerEntry(pool_id=pool.id, kind="spend", amount=-250_000, balance_after=2_750_000, exchange_id=line.id)
    )
    db.session.commit()
    call(eve.user_id, account_id=number(shared), basis="released", cost=0, outcome="failed")
    call(eve.user_id, account_id=number(shared), state="open", basis=None, outcome=None)

    [row] = eve.get(f"{API}/quotas/consumption").json["data"]

    assert (row["quota_before"], row["quota_after"], row["quota_consumed"]) == ("3.0000", "2.7500", "0.2500")
    assert (row["is_shared"], row["cookie_id"], row["log_id"]) == (1, str(number(shared)), str(line.id))
    consumed = eve.get(f"{API}/quotas/shared-pool").json["data"]["user_consumption"]
    assert consumed == {
        "total_requests": 1,
        "total_quota_consumed": 0.25,
        "shared_quota_consumed": 0.25,
        "private_quota_consumed": 0.0,
    }


def test_ones_own_account_costs_no_pool_anything(ada, shared):
    call(ada.user_id, account_id=number(shared))

    [row] = ada.get(f"{API}/quotas/consumption").json["data"]

    assert (row["quota_before"], row["quota_after"], row["quota_consumed"]) == (None, None, "0.2500")
    assert row["is_shared"] == 0


def test_deleting_gives_back_what_was_credited_and_erases_the_credential(ada, shared):
    assert ada.delete(shared).status_code == 200

    assert set(earned(ada).values()) == {("0.0000", "0.0000")}
    [row] = rows("accounts")
    assert (row["state"], row["sealed_credential"], row["sealed_refresh_token"]) == ("withdrawn", None, None)
    assert ada.delete(shared).status_code == 404
    assert proof.verify() == []


def test_an_account_that_drains_is_gone_from_here_already(ada, shared):
    call(ada.user_id, account_id=number(shared), state="open", basis=None, outcome=None)

    assert ada.delete(shared).status_code == 200

    assert own(ada, shared)["state"] == "draining"
    assert ada.get(f"{API}/accounts").json["data"] == []
    for answer in (ada.get(shared), ada.delete(shared), ada.put(f"{shared}/status", json={"status": 1})):
        assert answer.status_code == 404


def test_what_an_admin_took_out_of_service_its_owner_cannot_bring_back(ada, shared):
    db.session.rollback()
    standing.disable(number(shared), "abuse", actor_id=ada.user_id)
    db.session.commit()

    assert ada.get(shared).json["data"]["status"] == 0
    assert ada.put(f"{shared}/status", json={"status": 1}).status_code == 409
    assert own(ada, shared)["state"] == "disabled"


def test_an_account_that_needs_sign_in_comes_back_while_its_provider_stands_by_the_consent(ada, local_world, shared):
    db.session.rollback()
    standing.take_out(number(shared), "needs_sign_in", "refused")
    db.session.commit()
    assert ada.get(shared).json["data"]["need_refresh"] is True
    assert ada.put(f"{shared}/status", json={"status": 0}).json["message"] == "账号状态未变化"

    local_world.provider.accepted.clear()  # the token has ended, the consent has not
    assert ada.put(f"{shared}/status", json={"status": 1}).status_code == 200

    assert own(ada, shared)["state"] == "active"


def test_an_account_whose_consent_has_ended_stays_out_and_the_end_is_remembered(ada, local_world, shared):
    db.session.rollback()
    standing.take_out(number(shared), "needs_sign_in", "refused")
    db.session.commit()
    local_world.provider.end()

    assert ada.put(f"{shared}/status", json={"status": 1}).status_code == 422

    assert own(ada, shared)["state"] == "needs_sign_in"
    [row] = rows("accounts")
    assert row["sealed_refresh_token"] is None


def test_a_broken_account_comes_back_once_it_works(ada, shared):
    db.session.rollback()
    standing.take_out(number(shared), "broken", "it fails")
    db.session.commit()

    assert ada.get(shared).json["data"]["status"] == 0
    assert ada.put(f"{shared}/status", json={"status": 1}).status_code == 200
    assert own(ada, shared)["state"] == "active"


def test_an_account_by_key_is_an_account_like_any_other(ada):
    db.session.rollback()
    account = factories.account(factories.user(), sharing="dedicated", models=["k"])
    change("update accounts set owner_id = :ada where id = :id", ada=ada.user_id, id=account.id)

    [listed] = ada.get(f"{API}/accounts").json["data"]

    assert (listed["cookie_id"], listed["expires_at"], listed["is_shared"]) == (str(account.id), None, 0)


def test_where_no_provider_is_set_up_there_is_nowhere_to_consent(app, ada, with_settings):
    with with_settings(upstream_oauth_providers=()):
        answer = ada.post(f"{API}/oauth/authorize", json={})

    assert refusal(answer) == (409, "PROVIDER_NOT_CONFIGURED")
    assert "key" in answer.json["detail"]


def test_a_provider_that_gives_no_token_is_told_in_our_words(ada, local_world):
    begun = ada.post(f"{API}/oauth/authorize", json={}).json["data"]
    landed = local_world.land(begun["auth_url"])
    local_world.provider.routes["/token"] = invalid_grant

    answer = ada.post(f"{API}/oauth/callback", json={"callback_url": landed})

    assert refusal(answer) == (400, "OAUTH_TOKEN_EXCHANGE_FAILED")


def test_our_own_pool_makes_no_images_and_says_so_in_both_shapes(ada):
    body = {"contents": [{"role": "user", "parts": [{"text": "a cat"}]}], "generationConfig": {}}

    answer = ada.post(f"{API}/v1beta/models/org/o:generateContent", json=body)

    assert refusal(answer) == (503, "NO_ACCOUNT_AVAILABLE")
    assert answer.json["error"] == {"code": 503, "message": answer.json["detail"], "status": "UNAVAILABLE"}


def test_nobody_is_sent_for_where_there_is_no_plugin(ada, shared, redis_server):
    ada.put(f"{shared}/status", json={"status": 0})
    ada.delete(shared)

    assert queued(redis_server.url()) == []


def test_every_change_stands_in_the_audit_log(ada, shared):
    for path, body in [("status", {"status": 0}), ("name", {"name": "x"}), ("type", {"is_shared": 0})]:
        ada.put(f"{shared}/{path}", json=body)
    ada.delete(shared)

    acts = [row["act"] for row in rows("audit_log order by id") if row["act"].startswith("account.")]
    assert acts == ["account.contributed", *["account.changed"] * 3, "account.withdrawn"]
